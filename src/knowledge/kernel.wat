;; The vector scan's inner loops, over the memory of one collection (its parts: scan-layout.ts).
;; Built by `node scripts/build-kernel.ts` into kernel-binary.ts.
(module
  (import "env" "memory" (memory 1 65536 shared))

  ;; The smallest on top: replaces the top of a full heap of `held` numbers by `value`, which sinks to its place.
  (func $replace_top (param $heap i32) (param $held i32) (param $value f64)
    (local $at i32) (local $child i32) (local $childAt i32)
    (block $placed
      (loop $sink
        (local.set $child (i32.add (i32.shl (local.get $at) (i32.const 1)) (i32.const 1)))
        (br_if $placed (i32.ge_u (local.get $child) (local.get $held)))
        (local.set $childAt (i32.add (local.get $heap) (i32.shl (local.get $child) (i32.const 3))))
        (if (i32.lt_u (i32.add (local.get $child) (i32.const 1)) (local.get $held))
          (then
            (if (f64.lt (f64.load offset=8 (local.get $childAt)) (f64.load (local.get $childAt)))
              (then
                (local.set $child (i32.add (local.get $child) (i32.const 1)))
                (local.set $childAt (i32.add (local.get $childAt) (i32.const 8)))))))
        (br_if $placed (f64.ge (f64.load (local.get $childAt)) (local.get $value)))
        (f64.store
          (i32.add (local.get $heap) (i32.shl (local.get $at) (i32.const 3)))
          (f64.load (local.get $childAt)))
        (local.set $at (local.get $child))
        (br $sink)))
    (f64.store (i32.add (local.get $heap) (i32.shl (local.get $at) (i32.const 3))) (local.get $value)))

  ;; Adds `value` to a heap that holds `held`, and is not full: it rises to its place.
  (func $push (param $heap i32) (param $held i32) (param $value f64)
    (local $at i32) (local $parent i32) (local $parentAt i32)
    (local.set $at (local.get $held))
    (block $placed
      (loop $rise
        (br_if $placed (i32.eqz (local.get $at)))
        (local.set $parent (i32.shr_u (i32.sub (local.get $at) (i32.const 1)) (i32.const 1)))
        (local.set $parentAt (i32.add (local.get $heap) (i32.shl (local.get $parent) (i32.const 3))))
        (br_if $placed (f64.le (f64.load (local.get $parentAt)) (local.get $value)))
        (f64.store
          (i32.add (local.get $heap) (i32.shl (local.get $at) (i32.const 3)))
          (f64.load (local.get $parentAt)))
        (local.set $at (local.get $parent))
        (br $rise)))
    (f64.store (i32.add (local.get $heap) (i32.shl (local.get $at) (i32.const 3))) (local.get $value)))

  ;; The numbers of the bits that are set in `words` of 32, ascending, and how many they are. Four at a time without asking how many are
  ;; left, which a processor could only guess: up to three more are written, then four of row 0 behind the last that counts.
  (func (export "list") (param $bitmap i32) (param $words i32) (param $out i32) (result i32)
    (local $start i32) (local $end i32) (local $bits i32) (local $first i32) (local $next i32) (local $four v128)
    (local.set $start (local.get $out))
    (local.set $end (i32.add (local.get $bitmap) (i32.shl (local.get $words) (i32.const 2))))
    (block $done
      (loop $next_word
        (br_if $done (i32.ge_u (local.get $bitmap) (local.get $end)))
        (local.set $bits (i32.load (local.get $bitmap)))
        (local.set $next (i32.add (local.get $out) (i32.shl (i32.popcnt (local.get $bits)) (i32.const 2))))
        (if (i32.eq (local.get $bits) (i32.const -1))
          (then
            (local.set $four (i32x4.add (i32x4.splat (local.get $first)) (v128.const i32x4 0 1 2 3)))
            (v128.store (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 0))))
            (v128.store offset=16 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 4))))
            (v128.store offset=32 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 8))))
            (v128.store offset=48 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 12))))
            (v128.store offset=64 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 16))))
            (v128.store offset=80 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 20))))
            (v128.store offset=96 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 24))))
            (v128.store offset=112 (local.get $out) (i32x4.add (local.get $four) (i32x4.splat (i32.const 28))))
            (local.set $bits (i32.const 0))))
        (block $word_done (loop $next_bits
          (br_if $word_done (i32.eqz (local.get $bits)))
          (i32.store (local.get $out) (i32.add (local.get $first) (i32.ctz (local.get $bits))))
          (local.set $bits (i32.and (local.get $bits) (i32.sub (local.get $bits) (i32.const 1))))
          (i32.store offset=4 (local.get $out) (i32.add (local.get $first) (i32.ctz (local.get $bits))))
          (local.set $bits (i32.and (local.get $bits) (i32.sub (local.get $bits) (i32.const 1))))
          (i32.store offset=8 (local.get $out) (i32.add (local.get $first) (i32.ctz (local.get $bits))))
          (local.set $bits (i32.and (local.get $bits) (i32.sub (local.get $bits) (i32.const 1))))
          (i32.store offset=12 (local.get $out) (i32.add (local.get $first) (i32.ctz (local.get $bits))))
          (local.set $bits (i32.and (local.get $bits) (i32.sub (local.get $bits) (i32.const 1))))
          (local.set $out (i32.add (local.get $out) (i32.const 16)))
          (br $next_bits)))
        (local.set $out (local.get $next))
        (local.set $first (i32.add (local.get $first) (i32.const 32)))
        (local.set $bitmap (i32.add (local.get $bitmap) (i32.const 4)))
        (br $next_word)))
    (v128.store (local.get $out) (v128.const i64x2 0 0))
    (i32.shr_u (i32.sub (local.get $out) (local.get $start)) (i32.const 2)))

  ;; Dot product of `length` (a multiple of 16) 8-bit and 16-bit integers.
  (func $dot_codes (param $codes i32) (param $query i32) (param $length i32) (result i32)
    (local $end i32) (local $a v128) (local $b v128)
    (local.set $end (i32.add (local.get $codes) (local.get $length)))
    (loop $more
      (local.set $a (i32x4.add (local.get $a)
        (i32x4.dot_i16x8_s (v128.load8x8_s (local.get $codes)) (v128.load (local.get $query)))))
      (local.set $b (i32x4.add (local.get $b)
        (i32x4.dot_i16x8_s (v128.load8x8_s offset=8 (local.get $codes)) (v128.load offset=16 (local.get $query)))))
      (local.set $codes (i32.add (local.get $codes) (i32.const 16)))
      (local.set $query (i32.add (local.get $query) (i32.const 32)))
      (br_if $more (i32.lt_u (local.get $codes) (local.get $end))))
    (local.set $a (i32x4.add (local.get $a) (local.get $b)))
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $a)) (i32x4.extract_lane 1 (local.get $a)))
      (i32.add (i32x4.extract_lane 2 (local.get $a)) (i32x4.extract_lane 3 (local.get $a)))))

  ;; The same for all rows up to `last`, one after the other, as the processor's prefetcher has it. `out` has four bytes for each row.
  (func $dot_all (param $codes i32) (param $stride i32) (param $last i32) (param $query i32) (param $out i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $last) (i32.const 2))))
    (loop $next_row
      (i32.store (local.get $out) (call $dot_codes (local.get $codes) (local.get $query) (local.get $stride)))
      (local.set $codes (i32.add (local.get $codes) (local.get $stride)))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      (br_if $next_row (i32.le_u (local.get $out) (local.get $end)))))

  ;; The same for listed rows, four at a time: what is far apart in memory is then waited for together, and each part of the query read once
  ;; for all four. The list goes on with any rows up to a multiple of four.
  (func $dot_listed
    (param $codes i32) (param $stride i32) (param $rows i32) (param $count i32) (param $query i32) (param $out i32)
    (local $end i32) (local $queryAt i32) (local $queryEnd i32) (local $q v128)
    (local $aAt i32) (local $bAt i32) (local $cAt i32) (local $dAt i32) (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $queryEnd (i32.add (local.get $query) (i32.shl (local.get $stride) (i32.const 1))))
    (block $done (loop $next_rows
      (br_if $done (i32.ge_u (local.get $rows) (local.get $end)))
      (local.set $aAt (i32.add (local.get $codes) (i32.mul (i32.load (local.get $rows)) (local.get $stride))))
      (local.set $bAt (i32.add (local.get $codes) (i32.mul (i32.load offset=4 (local.get $rows)) (local.get $stride))))
      (local.set $cAt (i32.add (local.get $codes) (i32.mul (i32.load offset=8 (local.get $rows)) (local.get $stride))))
      (local.set $dAt (i32.add (local.get $codes) (i32.mul (i32.load offset=12 (local.get $rows)) (local.get $stride))))
      (local.set $a (v128.const i64x2 0 0))
      (local.set $b (v128.const i64x2 0 0))
      (local.set $c (v128.const i64x2 0 0))
      (local.set $d (v128.const i64x2 0 0))
      (local.set $queryAt (local.get $query))
      (loop $more
        (local.set $q (v128.load (local.get $queryAt)))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s (v128.load8x8_s (local.get $aAt)) (local.get $q))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s (v128.load8x8_s (local.get $bAt)) (local.get $q))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s (v128.load8x8_s (local.get $cAt)) (local.get $q))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s (v128.load8x8_s (local.get $dAt)) (local.get $q))))
        (local.set $q (v128.load offset=16 (local.get $queryAt)))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s (v128.load8x8_s offset=8 (local.get $aAt)) (local.get $q))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s (v128.load8x8_s offset=8 (local.get $bAt)) (local.get $q))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s (v128.load8x8_s offset=8 (local.get $cAt)) (local.get $q))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s (v128.load8x8_s offset=8 (local.get $dAt)) (local.get $q))))
        (local.set $aAt (i32.add (local.get $aAt) (i32.const 16)))
        (local.set $bAt (i32.add (local.get $bAt) (i32.const 16)))
        (local.set $cAt (i32.add (local.get $cAt) (i32.const 16)))
        (local.set $dAt (i32.add (local.get $dAt) (i32.const 16)))
        (local.set $queryAt (i32.add (local.get $queryAt) (i32.const 32)))
        (br_if $more (i32.lt_u (local.get $queryAt) (local.get $queryEnd))))
      ;; The sums of the four lanes of each, in one.
      (local.set $q (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $a) (local.get $b))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b))))
      (local.set $a (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $c) (local.get $d))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d))))
      (local.set $q (i32x4.add
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $q) (local.get $a))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $q) (local.get $a))))
      (i32.store (i32.add (local.get $out) (i32.shl (i32.load (local.get $rows)) (i32.const 2))) (i32x4.extract_lane 0 (local.get $q)))
      (i32.store (i32.add (local.get $out) (i32.shl (i32.load offset=4 (local.get $rows)) (i32.const 2))) (i32x4.extract_lane 1 (local.get $q)))
      (i32.store (i32.add (local.get $out) (i32.shl (i32.load offset=8 (local.get $rows)) (i32.const 2))) (i32x4.extract_lane 2 (local.get $q)))
      (i32.store (i32.add (local.get $out) (i32.shl (i32.load offset=12 (local.get $rows)) (i32.const 2))) (i32x4.extract_lane 3 (local.get $q)))
      (local.set $rows (i32.add (local.get $rows) (i32.const 16)))
      (br $next_rows))))

  ;; Listed rows of a block, at least one. `figures` has 32 bytes of each row: factor, error, offset, and the vector's length. A row's true
  ;; value lies within `margin` of
  ;;   factor * queryFactor * dot + offset,  margin = error * queryError - offset * offsetError + rounding.
  ;; The heap keeps the `limit` best lower bounds; rows whose upper bound is below the worst of them cannot be among the best.
  ;; The others are written to `out` (row, upper bound; 16 bytes each). `state`: i32 rows held by the heap, which begins 8 bytes on.
  ;; `dots` is room for four bytes a row. Where more than a quarter of the rows are listed, reading all of them in their order takes less
  ;; time than leaping from one to the next.
  (func (export "scan")
    (param $codes i32) (param $stride i32) (param $figures i32) (param $rows i32) (param $count i32) (param $query i32)
    (param $queryFactor f64) (param $queryError f64) (param $offsetError f64) (param $rounding f64)
    (param $state i32) (param $limit i32) (param $dots i32) (param $out i32) (result i32)
    (local $end i32) (local $last i32) (local $held i32) (local $heap i32) (local $first i32) (local $row i32) (local $at i32)
    (local $value f64) (local $margin f64) (local $floor f64)
    (local.set $first (local.get $out))
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $last (i32.load (i32.sub (local.get $end) (i32.const 4))))
    (if (i32.gt_u (i32.shl (local.get $count) (i32.const 2)) (local.get $last))
      (then (call $dot_all
        (local.get $codes) (local.get $stride) (local.get $last) (local.get $query) (local.get $dots)))
      (else (call $dot_listed
        (local.get $codes) (local.get $stride) (local.get $rows) (local.get $count) (local.get $query) (local.get $dots))))
    (local.set $held (i32.load (local.get $state)))
    (local.set $heap (i32.add (local.get $state) (i32.const 8)))
    (local.set $floor (f64.const -inf))
    (if (i32.ge_u (local.get $held) (local.get $limit)) (then (local.set $floor (f64.load (local.get $heap)))))
    (block $done
      (loop $next_row
        (br_if $done (i32.ge_u (local.get $rows) (local.get $end)))
        (local.set $row (i32.load (local.get $rows)))
        (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
        (local.set $at (i32.add (local.get $figures) (i32.shl (local.get $row) (i32.const 5))))
        (local.set $value (f64.add
          (f64.mul
            (f64.mul (f64.load (local.get $at)) (local.get $queryFactor))
            (f64.convert_i32_s (i32.load (i32.add (local.get $dots) (i32.shl (local.get $row) (i32.const 2))))))
          (f64.load offset=16 (local.get $at))))
        (local.set $margin (f64.add
          (f64.sub
            (f64.mul (f64.load offset=8 (local.get $at)) (local.get $queryError))
            (f64.mul (f64.load offset=16 (local.get $at)) (local.get $offsetError)))
          (local.get $rounding)))
        ;; Written so that what is not a number is kept, not lost.
        (br_if $next_row (f64.lt (f64.add (local.get $value) (local.get $margin)) (local.get $floor)))
        (i32.store (local.get $out) (local.get $row))
        (f64.store offset=8 (local.get $out) (f64.add (local.get $value) (local.get $margin)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $value (f64.sub (local.get $value) (local.get $margin)))
        (if (i32.lt_u (local.get $held) (local.get $limit))
          (then
            (call $push (local.get $heap) (local.get $held) (local.get $value))
            (local.set $held (i32.add (local.get $held) (i32.const 1))))
          (else
            (br_if $next_row (i32.eqz (f64.gt (local.get $value) (local.get $floor))))
            (call $replace_top (local.get $heap) (local.get $held) (local.get $value))))
        (if (i32.ge_u (local.get $held) (local.get $limit))
          (then (local.set $floor (f64.load (local.get $heap)))))
        (br $next_row)))
    (i32.store (local.get $state) (local.get $held))
    (i32.shr_u (i32.sub (local.get $out) (local.get $first)) (i32.const 4)))

  ;; Dot products of listed rows with the query, in double precision and in the order of score.ts, so that every bit is the same.
  (func (export "dots")
    (param $rows i32) (param $count i32) (param $floats i32) (param $stride i32) (param $query i32) (param $length i32) (param $out i32)
    (local $end i32) (local $fours i32) (local $at i32) (local $q i32) (local $last i32)
    (local $a v128) (local $b v128) (local $x v128) (local $y v128) (local $first f64)
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $fours (i32.shl (i32.and (local.get $length) (i32.const -4)) (i32.const 2)))
    (block $done
      (loop $next_row
        (br_if $done (i32.ge_u (local.get $rows) (local.get $end)))
        (local.set $at (i32.add (local.get $floats) (i32.mul (i32.load (local.get $rows)) (local.get $stride))))
        (local.set $last (i32.add (local.get $at) (i32.shl (local.get $length) (i32.const 2))))
        (local.set $q (local.get $query))
        (local.set $a (v128.const i64x2 0 0))
        (local.set $b (v128.const i64x2 0 0))
        (block $fours_done
          (loop $more
            (br_if $fours_done (i32.ge_u (i32.sub (local.get $q) (local.get $query)) (local.get $fours)))
            (local.set $x (v128.load (local.get $at)))
            (local.set $y (v128.load (local.get $q)))
            (local.set $a (f64x2.add (local.get $a)
              (f64x2.mul (f64x2.promote_low_f32x4 (local.get $y)) (f64x2.promote_low_f32x4 (local.get $x)))))
            (local.set $x (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x) (local.get $x)))
            (local.set $y (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $y) (local.get $y)))
            (local.set $b (f64x2.add (local.get $b)
              (f64x2.mul (f64x2.promote_low_f32x4 (local.get $y)) (f64x2.promote_low_f32x4 (local.get $x)))))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (local.set $q (i32.add (local.get $q) (i32.const 16)))
            (br $more)))
        (local.set $first (f64x2.extract_lane 0 (local.get $a)))
        (block $rest_done
          (loop $rest
            (br_if $rest_done (i32.ge_u (local.get $at) (local.get $last)))
            (local.set $first (f64.add (local.get $first)
              (f64.mul (f64.promote_f32 (f32.load (local.get $q))) (f64.promote_f32 (f32.load (local.get $at))))))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (local.set $q (i32.add (local.get $q) (i32.const 4)))
            (br $rest)))
        (f64.store (local.get $out)
          (f64.add
            (f64.add (f64.add (local.get $first) (f64x2.extract_lane 1 (local.get $a))) (f64x2.extract_lane 0 (local.get $b)))
            (f64x2.extract_lane 1 (local.get $b))))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
        (br $next_row))))

  ;; The same for squared distances.
  (func (export "squares")
    (param $rows i32) (param $count i32) (param $floats i32) (param $stride i32) (param $query i32) (param $length i32) (param $out i32)
    (local $end i32) (local $fours i32) (local $at i32) (local $q i32) (local $last i32)
    (local $a v128) (local $b v128) (local $x v128) (local $y v128) (local $d v128) (local $first f64) (local $s f64)
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $fours (i32.shl (i32.and (local.get $length) (i32.const -4)) (i32.const 2)))
    (block $done
      (loop $next_row
        (br_if $done (i32.ge_u (local.get $rows) (local.get $end)))
        (local.set $at (i32.add (local.get $floats) (i32.mul (i32.load (local.get $rows)) (local.get $stride))))
        (local.set $last (i32.add (local.get $at) (i32.shl (local.get $length) (i32.const 2))))
        (local.set $q (local.get $query))
        (local.set $a (v128.const i64x2 0 0))
        (local.set $b (v128.const i64x2 0 0))
        (block $fours_done
          (loop $more
            (br_if $fours_done (i32.ge_u (i32.sub (local.get $q) (local.get $query)) (local.get $fours)))
            (local.set $x (v128.load (local.get $at)))
            (local.set $y (v128.load (local.get $q)))
            (local.set $d (f64x2.sub (f64x2.promote_low_f32x4 (local.get $y)) (f64x2.promote_low_f32x4 (local.get $x))))
            (local.set $a (f64x2.add (local.get $a) (f64x2.mul (local.get $d) (local.get $d))))
            (local.set $x (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x) (local.get $x)))
            (local.set $y (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $y) (local.get $y)))
            (local.set $d (f64x2.sub (f64x2.promote_low_f32x4 (local.get $y)) (f64x2.promote_low_f32x4 (local.get $x))))
            (local.set $b (f64x2.add (local.get $b) (f64x2.mul (local.get $d) (local.get $d))))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (local.set $q (i32.add (local.get $q) (i32.const 16)))
            (br $more)))
        (local.set $first (f64x2.extract_lane 0 (local.get $a)))
        (block $rest_done
          (loop $rest
            (br_if $rest_done (i32.ge_u (local.get $at) (local.get $last)))
            (local.set $s (f64.sub (f64.promote_f32 (f32.load (local.get $q))) (f64.promote_f32 (f32.load (local.get $at)))))
            (local.set $first (f64.add (local.get $first) (f64.mul (local.get $s) (local.get $s))))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (local.set $q (i32.add (local.get $q) (i32.const 4)))
            (br $rest)))
        (f64.store (local.get $out)
          (f64.add
            (f64.add (f64.add (local.get $first) (f64x2.extract_lane 1 (local.get $a))) (f64x2.extract_lane 0 (local.get $b)))
            (f64x2.extract_lane 1 (local.get $b))))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
        (br $next_row))))

  ;; The lengths of listed rows, the last of their figures.
  (func (export "lengths") (param $rows i32) (param $count i32) (param $figures i32) (param $out i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next_row
        (br_if $done (i32.ge_u (local.get $rows) (local.get $end)))
        (f64.store (local.get $out)
          (f64.load offset=24 (i32.add (local.get $figures) (i32.shl (i32.load (local.get $rows)) (i32.const 5)))))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
        (br $next_row))))

  ;; The largest size of `length` floats, a multiple of 4.
  (func (export "largest") (param $floats i32) (param $length i32) (result f32)
    (local $end i32) (local $max v128)
    (local.set $end (i32.add (local.get $floats) (i32.shl (local.get $length) (i32.const 2))))
    (loop $more
      (local.set $max (f32x4.max (local.get $max) (f32x4.abs (v128.load (local.get $floats)))))
      (local.set $floats (i32.add (local.get $floats) (i32.const 16)))
      (br_if $more (i32.lt_u (local.get $floats) (local.get $end))))
    (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $max)) (f32x4.extract_lane 1 (local.get $max)))
      (f32.max (f32x4.extract_lane 2 (local.get $max)) (f32x4.extract_lane 3 (local.get $max)))))

  ;; The codes of `length` floats, a multiple of 4: multiples of `step`, to the nearest. Returns the sum of the squared errors.
  (func (export "quantise")
    (param $floats i32) (param $length i32) (param $step f64) (param $perStep f64) (param $codes i32) (result f64)
    (local $end i32) (local $x v128) (local $code v128) (local $error v128) (local $sum v128)
    (local.set $end (i32.add (local.get $floats) (i32.shl (local.get $length) (i32.const 2))))
    (loop $more
      (local.set $x (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $floats))))
      (local.set $code (f64x2.nearest (f64x2.mul (local.get $x) (f64x2.splat (local.get $perStep)))))
      (local.set $error (f64x2.sub (local.get $x) (f64x2.mul (local.get $code) (f64x2.splat (local.get $step)))))
      (local.set $sum (f64x2.add (local.get $sum) (f64x2.mul (local.get $error) (local.get $error))))
      (local.set $code (i32x4.trunc_sat_f64x2_s_zero (local.get $code)))
      (i32.store8 (local.get $codes) (i32x4.extract_lane 0 (local.get $code)))
      (i32.store8 offset=1 (local.get $codes) (i32x4.extract_lane 1 (local.get $code)))
      (local.set $codes (i32.add (local.get $codes) (i32.const 2)))
      (local.set $floats (i32.add (local.get $floats) (i32.const 8)))
      (br_if $more (i32.lt_u (local.get $floats) (local.get $end))))
    (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum))))
)
