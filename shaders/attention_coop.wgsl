// out = softmax(scale q k^T + bias) v, head by head, in one pass over the keys, on cooperative
// matrices: operands rounded to f16, scores, running maxima and sums f32
//
//   q [Lq, H, D]      k [Lk, H, D]      v [Lk, H, D]      out [Lq, H, D]      f32, f16
//
// D is DEPTH, a multiple of COOP_EDGE. A workgroup computes ROWS query rows of one head: BLOCKS
// subgroups below each other, each with COOP_EDGE rows and up to 8 matrices of sums, PARTS side by
// side where a head has more. The queries stay in workgroup memory; KEYS keys, then their values,
// pass through it and serve all rows. A step is
//
//   stage k | scores = q k^T | stage v; shares = exp(scores - highest), by TEAM invocations a row
//   | sums += shares v
//
// Cooperative matrices are opaque, so sums cannot be rescaled whenever a row's maximum moves. They
// need not be: any number near the maximum serves as the exponent's base, and it moves only when a
// score exceeds it by more than HEADROOM (as in FlashAttention-4). exp(HEADROOM) is far from f16's
// end, and a share is as exact there as near 1. When it moves, which is rare after the first
// keys, the sums pass through workgroup memory. A row that does not move is multiplied by 1: its
// result does not depend on its neighbours. Two passes over the keys, the first for the maxima
// alone, would need no rescaling and half as many products again.
//
// What a subgroup sums is named matrix by matrix: an array that a loop indexes lies in memory
// unless the driver unrolls the loop. Where subgroups are smaller than LANES the surplus
// multiplies what another does and keeps it to itself.
//
//   workgroup: ROWS queries; grid: (queries, heads)

import package::coop::{CoopA, CoopB, CoopC, COOP_EDGE};
import package::tile::{DEPTH, BLOCKS, PARTS, KEYS, LANES};
import package::common::heads::{params, q, k, v, out, LOWEST};
import package::stage::{stage, put_stage4, STAGE_UNIT};
import package::bias::{score_bias, bias_keys, bias_heads};
import package::input::{unpack_input4};
import package::output::{pack_output4};

const ROWS = BLOCKS * COOP_EDGE;
const SUBGROUPS = BLOCKS * PARTS;
const INVOCATIONS = SUBGROUPS * LANES;
// Invocations that share a row of scores: neighbours in a subgroup, a power of two.
const TEAM = INVOCATIONS / ROWS;

const DEPTH4 = DEPTH / 4u;
const KEYS4 = KEYS / 4u;
// Matrices of sums of a subgroup, at most 8.
const HELD = DEPTH / COOP_EDGE / PARTS;
const HELD_COLS = HELD * COOP_EDGE;

// Rows are 16 bytes longer than they hold: eight of them then start in eight different banks.
const STRIDE4 = DEPTH4 + 2u;
const STRIDE = STRIDE4 * STAGE_UNIT;
const SHARE_STRIDE4 = KEYS4 + 2u;
const SHARE_STRIDE = SHARE_STRIDE4 * STAGE_UNIT;
// The stage holds queries, then keys or values, then shares.
const KEYS_AT4 = ROWS * STRIDE4;
const SHARES_AT4 = KEYS_AT4 + KEYS * STRIDE4;
// From one matrix to the next along a row.
const NEXT = COOP_EDGE / 4u * STAGE_UNIT;

// Scores of a step; then a row of matrices of every subgroup, on its way through memory. Drivers
// load matrices 16 bytes at a time: rows are multiples of that.
const STRIP_STRIDE = KEYS + 4u;
const STRIP_COLS = PARTS * COOP_EDGE;
var<workgroup> strip: array<f32, ROWS * STRIP_STRIDE>;

// What each row is to be multiplied by, and whether any row's is not 1.
var<workgroup> factors: array<f32, ROWS>;
var<workgroup> moved: u32;

// A score may exceed the base of its row's exponents by this much.
const HEADROOM = 8.0;

fn stage_queries(lane: u32, row0: u32, head: u32) {
    let column = params.q_first4 + head * DEPTH4;
    for (var at = lane; at < ROWS * DEPTH4; at += INVOCATIONS) {
        // Beyond the last query the last is computed again and not stored.
        let row = min(row0 + at / DEPTH4, params.queries - 1u);
        let four = unpack_input4(q[row * params.q_stride4 + column + at % DEPTH4]);
        put_stage4(at / DEPTH4 * STRIDE4 + at % DEPTH4, vec4<f16>(four));
    }
}

// Beyond the last key the last is read again; it gets no weight. The invocations divide the groups
// of a step evenly, so that the loop has a fixed length.
fn stage_keys(lane: u32, key0: u32, head: u32) {
    let column = params.k_first4 + (head - params.kv_head_base) * DEPTH4;
    for (var i = 0u; i < KEYS * DEPTH4; i += INVOCATIONS) {
        let at = i + lane;
        let key = min(key0 + at / DEPTH4, params.keys - 1u);
        let four = unpack_input4(k[key * params.k_stride4 + column + at % DEPTH4]);
        put_stage4(KEYS_AT4 + at / DEPTH4 * STRIDE4 + at % DEPTH4, vec4<f16>(four));
    }
}

fn stage_values(lane: u32, key0: u32, head: u32) {
    let column = params.v_first4 + (head - params.kv_head_base) * DEPTH4;
    for (var i = 0u; i < KEYS * DEPTH4; i += INVOCATIONS) {
        let at = i + lane;
        let key = min(key0 + at / DEPTH4, params.keys - 1u);
        let four = unpack_input4(v[key * params.v_stride4 + column + at % DEPTH4]);
        put_stage4(KEYS_AT4 + at / DEPTH4 * STRIDE4 + at % DEPTH4, vec4<f16>(four));
    }
}

// Scales, biases and masks a score where it lies.
fn finish_score(at: u32, head: u32, query: u32, key: u32) -> f32 {
    let bias = score_bias(head, query, min(key, params.keys - 1u));
    let score = select(LOWEST, params.scale * strip[at] + bias, key < params.keys);
    strip[at] = score;
    return score;
}

fn finish_scores(at: u32, head: u32, query: u32, key: u32) -> vec4<f32> {
    return vec4<f32>(
        finish_score(at, head, query, key),
        finish_score(at + 1u, head, query, key + 1u),
        finish_score(at + 2u, head, query, key + 2u),
        finish_score(at + 3u, head, query, key + 3u),
    );
}

// Multiplies the matrices that all subgroups have put into the strip by their rows' factors.
fn scale_strip(lane: u32) {
    workgroupBarrier();
    for (var at = lane; at < ROWS * STRIP_COLS; at += INVOCATIONS) {
        let row = at / STRIP_COLS;
        strip[row * STRIP_STRIDE + at % STRIP_COLS] *= factors[row];
    }
    workgroupBarrier();
}

// Stores matrix `number` of all subgroups, multiplied by their rows' factors.
fn store_strip(number: u32, lane: u32, row0: u32, head: u32) {
    workgroupBarrier();
    for (var at = lane; at < ROWS * STRIP_COLS / 4u; at += INVOCATIONS) {
        let line = at / (STRIP_COLS / 4u);
        let across = at % (STRIP_COLS / 4u) * 4u;
        let row = row0 + line;
        if row < params.queries {
            let place = line * STRIP_STRIDE + across;
            let four = vec4<f32>(strip[place], strip[place + 1u], strip[place + 2u], strip[place + 3u]);
            let column = across / COOP_EDGE * HELD_COLS + number * COOP_EDGE + across % COOP_EDGE;
            out[(row * params.heads + head) * DEPTH4 + column / 4u] = pack_output4(four * factors[line]);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_lanes: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let row0 = group.x * ROWS;
    let head = params.head_base + group.y;
    bias_keys = params.keys;
    bias_heads = params.heads;

    // As a member of a team: its row and its place in it.
    let number = subgroup * subgroup_lanes + subgroup_lane;
    let line = number / TEAM;
    let member = number % TEAM;
    let query = params.query_base + min(row0 + line, params.queries - 1u);
    var base = LOWEST;
    var total = 0.0;

    // As a part of a subgroup that multiplies matrices: its rows and columns.
    let working = subgroup < SUBGROUPS;
    let block = subgroup % SUBGROUPS / PARTS;
    let part = subgroup % PARTS;
    let queries_at = block * COOP_EDGE * STRIDE;
    let scores_at = block * COOP_EDGE * STRIP_STRIDE;
    let shares_at = SHARES_AT4 * STAGE_UNIT + block * COOP_EDGE * SHARE_STRIDE;
    let own = scores_at + part * COOP_EDGE;

    // Zeros come from memory: not every shading language below has them as a constructor.
    for (var at = lane; at < ROWS * STRIP_STRIDE; at += INVOCATIONS) {
        strip[at] = 0.0;
    }
    if lane == 0u {
        moved = 0u;
    }
    stage_queries(lane, row0, head);
    workgroupBarrier();
    let zero = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
    var sum0 = zero;
    var sum1 = zero;
    var sum2 = zero;
    var sum3 = zero;
    var sum4 = zero;
    var sum5 = zero;
    var sum6 = zero;
    var sum7 = zero;

    for (var key0 = 0u; key0 < params.keys; key0 += KEYS) {
        stage_keys(lane, key0, head);
        workgroupBarrier();
        for (var first = 0u; first < KEYS; first += 2u * STRIP_COLS) {
            let col = first + 2u * part * COOP_EDGE;
            let keys_at = KEYS_AT4 * STAGE_UNIT + col * STRIDE;
            var score0 = zero;
            var score1 = zero;
            for (var d = 0u; d < STAGE_UNIT * DEPTH4; d += NEXT) {
                let a = coopLoadT<CoopA>(&stage[queries_at + d], STRIDE);
                let b0 = coopLoad<CoopB>(&stage[keys_at + d], STRIDE);
                let b1 = coopLoad<CoopB>(&stage[keys_at + COOP_EDGE * STRIDE + d], STRIDE);
                score0 = coopMultiplyAdd(a, b0, score0);
                score1 = coopMultiplyAdd(a, b1, score1);
            }
            if working {
                coopStoreT(score0, &strip[scores_at + col], STRIP_STRIDE);
                coopStoreT(score1, &strip[scores_at + col + COOP_EDGE], STRIP_STRIDE);
            }
        }
        workgroupBarrier();
        stage_values(lane, key0, head);

        let line_at = line * STRIP_STRIDE;
        var high = LOWEST;
        for (var four = member; four < KEYS4; four += TEAM) {
            let scores = finish_scores(line_at + 4u * four, head, query, key0 + 4u * four);
            high = max(high, max(max(scores.x, scores.y), max(scores.z, scores.w)));
        }
        for (var apart = 1u; apart < TEAM; apart *= 2u) {
            high = max(high, subgroupShuffleXor(high, apart));
        }
        var factor = 1.0;
        if key0 == 0u {
            base = high;
        } else if high > base + HEADROOM {
            // exp of less than -80 leaves nothing of a sum.
            factor = exp(max(base - high, -80.0));
            base = high;
            total *= factor;
            moved = 1u; // whoever writes it writes this
        }
        if member == 0u {
            factors[line] = factor;
        }
        for (var four = member; four < KEYS4; four += TEAM) {
            let at = line_at + 4u * four;
            let scores = vec4<f32>(strip[at], strip[at + 1u], strip[at + 2u], strip[at + 3u]);
            let shares = exp(max(scores - base, vec4<f32>(-80.0)));
            let key = vec4<u32>(key0 + 4u * four) + vec4<u32>(0u, 1u, 2u, 3u);
            let rounded = vec4<f16>(select(vec4<f32>(0.0), shares, key < vec4<u32>(params.keys)));
            put_stage4(SHARES_AT4 + line * SHARE_STRIDE4 + four, rounded);
            let counted = vec4<f32>(rounded);
            total += counted.x + counted.y + counted.z + counted.w;
        }

        if workgroupUniformLoad(&moved) != 0u {
            if working { coopStoreT(sum0, &strip[own], STRIP_STRIDE); }
            scale_strip(lane);
            sum0 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
            workgroupBarrier();
            if HELD > 1u {
                if working { coopStoreT(sum1, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum1 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
            if HELD > 2u {
                if working { coopStoreT(sum2, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum2 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
            if HELD > 3u {
                if working { coopStoreT(sum3, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum3 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
            if HELD > 4u {
                if working { coopStoreT(sum4, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum4 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
            if HELD > 5u {
                if working { coopStoreT(sum5, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum5 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
            if HELD > 6u {
                if working { coopStoreT(sum6, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum6 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
            if HELD > 7u {
                if working { coopStoreT(sum7, &strip[own], STRIP_STRIDE); }
                scale_strip(lane);
                sum7 = coopLoadT<CoopC>(&strip[own], STRIP_STRIDE);
                workgroupBarrier();
            }
        }
        if lane == 0u {
            moved = 0u; // all have read it, and none writes before the next barrier
        }
        for (var col = 0u; col < KEYS; col += COOP_EDGE) {
            let a = coopLoadT<CoopA>(&stage[shares_at + col / 4u * STAGE_UNIT], SHARE_STRIDE);
            let at = (KEYS_AT4 + part * HELD_COLS / 4u) * STAGE_UNIT + col * STRIDE;
            sum0 = coopMultiplyAdd(a, coopLoadT<CoopB>(&stage[at], STRIDE), sum0);
            if HELD > 1u {
                let b = coopLoadT<CoopB>(&stage[at + NEXT], STRIDE);
                sum1 = coopMultiplyAdd(a, b, sum1);
            }
            if HELD > 2u {
                let b = coopLoadT<CoopB>(&stage[at + 2u * NEXT], STRIDE);
                sum2 = coopMultiplyAdd(a, b, sum2);
            }
            if HELD > 3u {
                let b = coopLoadT<CoopB>(&stage[at + 3u * NEXT], STRIDE);
                sum3 = coopMultiplyAdd(a, b, sum3);
            }
            if HELD > 4u {
                let b = coopLoadT<CoopB>(&stage[at + 4u * NEXT], STRIDE);
                sum4 = coopMultiplyAdd(a, b, sum4);
            }
            if HELD > 5u {
                let b = coopLoadT<CoopB>(&stage[at + 5u * NEXT], STRIDE);
                sum5 = coopMultiplyAdd(a, b, sum5);
            }
            if HELD > 6u {
                let b = coopLoadT<CoopB>(&stage[at + 6u * NEXT], STRIDE);
                sum6 = coopMultiplyAdd(a, b, sum6);
            }
            if HELD > 7u {
                let b = coopLoadT<CoopB>(&stage[at + 7u * NEXT], STRIDE);
                sum7 = coopMultiplyAdd(a, b, sum7);
            }
        }
        workgroupBarrier();
    }

    for (var apart = 1u; apart < TEAM; apart *= 2u) {
        total += subgroupShuffleXor(total, apart);
    }
    if member == 0u {
        factors[line] = 1.0 / total;
    }
    if working { coopStoreT(sum0, &strip[own], STRIP_STRIDE); }
    store_strip(0u, lane, row0, head);
    if HELD > 1u {
        if working { coopStoreT(sum1, &strip[own], STRIP_STRIDE); }
        store_strip(1u, lane, row0, head);
    }
    if HELD > 2u {
        if working { coopStoreT(sum2, &strip[own], STRIP_STRIDE); }
        store_strip(2u, lane, row0, head);
    }
    if HELD > 3u {
        if working { coopStoreT(sum3, &strip[own], STRIP_STRIDE); }
        store_strip(3u, lane, row0, head);
    }
    if HELD > 4u {
        if working { coopStoreT(sum4, &strip[own], STRIP_STRIDE); }
        store_strip(4u, lane, row0, head);
    }
    if HELD > 5u {
        if working { coopStoreT(sum5, &strip[own], STRIP_STRIDE); }
        store_strip(5u, lane, row0, head);
    }
    if HELD > 6u {
        if working { coopStoreT(sum6, &strip[own], STRIP_STRIDE); }
        store_strip(6u, lane, row0, head);
    }
    if HELD > 7u {
        if working { coopStoreT(sum7, &strip[own], STRIP_STRIDE); }
        store_strip(7u, lane, row0, head);
    }
}
