// out = softmax(scale q k^T + bias) v, head by head, in one pass over the keys, the operands staged
// in workgroup memory as f32
//
//   q [Lq, H, D]      k [Lk, H, D]      v [Lk, H, D]      out [Lq, H, D]      f32, f16
//
// A workgroup computes ROWS = 8 TEAMS query rows of one head. TEAM invocations share 8 rows: of a
// step of STEP_KEYS = 4 TEAM keys each of them scores four, and of the result each sums HELD groups of
// four columns, one or two. A step is
//
//   for every CHUNK4 groups of columns: stage them of queries and keys | scores += q k^T
//   stage each invocation's maxima | join those of a team, scores become shares
//   for every PIECE keys: stage their shares and values | sums += shares v
//
// with a barrier at each | and at each end. Keys and values are thus read once for all
// rows, and the staged data takes 12 KiB for 64 queries and 16.2 KiB for 128, with heads of 128. The
// queries would take more than that again, so every step reads them from a cache. While the kernel
// multiplies out of workgroup memory, the next data is being loaded into registers.
//
// The online softmax is that of attention.wgsl; an invocation totals the shares of its own keys,
// and the totals of a team are joined at the end. Keys are always taken from 0 upwards, STEP_KEYS at a
// time, whatever the grid and the number of rows.
//
//   workgroup: ROWS queries; grid: (queries, heads)

import package::tile::{DEPTH4, TEAM, TEAMS};
import package::common::heads::{params, q, k, v, out, LOWEST};
import package::common::staged::{stage, staged, added};
import package::bias::{score_bias, bias_keys, bias_heads};
import package::input::{Input4, unpack_input4};
import package::output::{pack_output4};

const INVOCATIONS = TEAM * TEAMS;
const ROWS = 8u * TEAMS;
const HALF = ROWS / 2u;
const STEP_KEYS = 4u * TEAM;
const CHUNK4 = TEAM / 4u;
const PIECE = TEAM;
const HELD = (DEPTH4 + TEAM - 1u) / TEAM;
// Rows of keys of a chunk, and of a piece of values, that an invocation stages: one or two.
const KEYS_EACH = (STEP_KEYS * CHUNK4 + INVOCATIONS - 1u) / INVOCATIONS;
const VALUES_EACH = (PIECE + TEAMS - 1u) / TEAMS;

// Groups of queries, by column, then by row; behind them of keys, by column, then so that the
// invocations of a team read side by side. Padded so that writes fall into different banks.
const ROW_STRIDE = ROWS + 2u;
const KEYS_APART = TEAM + 2u;
const KEY_STRIDE = 4u * KEYS_APART;
const KEYS_AT = CHUNK4 * ROW_STRIDE;
// Groups of shares, four keys each, then rows; behind them of values, by key, then column.
const VALUE_STRIDE = HELD * TEAM;
const VALUES_AT = PIECE / 4u * ROW_STRIDE;

// Groups of four as they lie in global memory, on their way from there. Of a chunk two of the
// queries, then of the keys; of a piece of values those of each of the HELD columns.
struct Held {
    a: Input4,
    b: Input4,
    c: Input4,
    d: Input4,
}

// Beyond the last row of a tensor the last is read again, beyond the last column zeros.

fn query4(row: u32, head: u32, col4: u32) -> Input4 {
    if col4 >= DEPTH4 {
        return Input4();
    }
    let start = min(row, params.queries - 1u) * params.q_stride4;
    return q[start + params.q_first4 + head * DEPTH4 + col4];
}

fn key4(key: u32, head: u32, col4: u32) -> Input4 {
    if col4 >= DEPTH4 {
        return Input4();
    }
    let start = min(key, params.keys - 1u) * params.k_stride4;
    return k[start + params.k_first4 + (head - params.kv_head_base) * DEPTH4 + col4];
}

fn value4(key: u32, head: u32, col4: u32) -> Input4 {
    if col4 >= DEPTH4 {
        return Input4();
    }
    let start = min(key, params.keys - 1u) * params.v_stride4;
    return v[start + params.v_first4 + (head - params.kv_head_base) * DEPTH4 + col4];
}

// The invocation's share of the chunk of columns from 4 chunk4 on.
fn fetch_chunk(lane: u32, row0: u32, key0: u32, head: u32, chunk4: u32) -> Held {
    let line = lane / CHUNK4;
    let col4 = chunk4 + lane % CHUNK4;
    var held: Held;
    held.a = query4(row0 + line, head, col4);
    held.b = query4(row0 + line + HALF, head, col4);
    held.c = key4(key0 + line, head, col4);
    if KEYS_EACH > 1u {
        held.d = key4(key0 + line + STEP_KEYS / 2u, head, col4);
    }
    return held;
}

fn put_chunk(lane: u32, held: Held) {
    let line = lane / CHUNK4;
    let col4 = lane % CHUNK4;
    stage[col4 * ROW_STRIDE + line] = unpack_input4(held.a);
    stage[col4 * ROW_STRIDE + line + HALF] = unpack_input4(held.b);
    let at = KEYS_AT + col4 * KEY_STRIDE + line % 4u * KEYS_APART + line / 4u;
    stage[at] = unpack_input4(held.c);
    if KEYS_EACH > 1u {
        stage[at + STEP_KEYS / 8u] = unpack_input4(held.d);
    }
}

// The invocation's share of the piece of values from `key` on.
fn fetch_values(lane: u32, key: u32, head: u32) -> Held {
    let line = lane / TEAM;
    let col4 = lane % TEAM;
    var held: Held;
    held.a = value4(key + line, head, col4);
    if VALUES_EACH > 1u {
        held.b = value4(key + line + TEAMS, head, col4);
    }
    if HELD > 1u {
        held.c = value4(key + line, head, col4 + TEAM);
        if VALUES_EACH > 1u {
            held.d = value4(key + line + TEAMS, head, col4 + TEAM);
        }
    }
    return held;
}

fn put_values(lane: u32, held: Held) {
    let at = VALUES_AT + lane / TEAM * VALUE_STRIDE + lane % TEAM;
    stage[at] = unpack_input4(held.a);
    if VALUES_EACH > 1u {
        stage[at + TEAMS * VALUE_STRIDE] = unpack_input4(held.b);
    }
    if HELD > 1u {
        stage[at + TEAM] = unpack_input4(held.c);
        if VALUES_EACH > 1u {
            stage[at + TEAM + TEAMS * VALUE_STRIDE] = unpack_input4(held.d);
        }
    }
}

fn bias_of(head: u32, row: u32, key: u32) -> f32 {
    let query = params.query_base + min(row, params.queries - 1u);
    return score_bias(head, query, min(key, params.keys - 1u));
}

// The scores of four rows, TEAMS apart, with a key.
fn scored(products: vec4<f32>, head: u32, row: u32, key: u32) -> vec4<f32> {
    let bias = vec4<f32>(
        bias_of(head, row, key),
        bias_of(head, row + TEAMS, key),
        bias_of(head, row + 2u * TEAMS, key),
        bias_of(head, row + 3u * TEAMS, key),
    );
    return select(vec4<f32>(LOWEST), params.scale * products + bias, key < params.keys);
}

fn all_scored(products: mat4x4<f32>, head: u32, row: u32, key: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        scored(products[0], head, row, key),
        scored(products[1], head, row, key + 1u),
        scored(products[2], head, row, key + 2u),
        scored(products[3], head, row, key + 3u),
    );
}

fn highest_of(scores: mat4x4<f32>) -> vec4<f32> {
    return max(max(scores[0], scores[1]), max(scores[2], scores[3]));
}

// exp of less than -80 adds nothing to an f32 sum of at least 1.
fn share(scores: vec4<f32>, highest: vec4<f32>, key: u32) -> vec4<f32> {
    let shares = exp(max(scores - highest, vec4<f32>(-80.0)));
    return select(vec4<f32>(0.0), shares, key < params.keys);
}

fn all_shares(scores: mat4x4<f32>, highest: vec4<f32>, key: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        share(scores[0], highest, key),
        share(scores[1], highest, key + 1u),
        share(scores[2], highest, key + 2u),
        share(scores[3], highest, key + 3u),
    );
}

// Four rows, each times its factor.
fn scaled(sum: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(sum[0] * by.x, sum[1] * by.y, sum[2] * by.z, sum[3] * by.w);
}

fn put_shares(at: u32, shares: mat4x4<f32>) {
    let rows = transpose(shares);
    stage[at] = rows[0];
    stage[at + TEAMS] = rows[1];
    stage[at + 2u * TEAMS] = rows[2];
    stage[at + 3u * TEAMS] = rows[3];
}

// Shows what each invocation knows of its 8 rows to its team.
fn show(lane: u32, what: vec4<f32>, what_half: vec4<f32>) {
    stage[lane] = what;
    stage[INVOCATIONS + lane] = what_half;
    workgroupBarrier();
}

fn store4(row: u32, head: u32, col4: u32, values: vec4<f32>) {
    if row < params.queries && col4 < DEPTH4 {
        out[(row * params.heads + head) * DEPTH4 + col4] = pack_output4(values);
    }
}

fn store(row: u32, head: u32, col4: u32, rows: mat4x4<f32>) {
    store4(row, head, col4, rows[0]);
    store4(row + TEAMS, head, col4, rows[1]);
    store4(row + 2u * TEAMS, head, col4, rows[2]);
    store4(row + 3u * TEAMS, head, col4, rows[3]);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = group.x * ROWS;
    let head = params.head_base + group.y;
    bias_keys = params.keys;
    bias_heads = params.heads;

    // Rows `team` + TEAMS i, the second four of them HALF further.
    let team = lane / TEAM;
    let member = lane % TEAM;
    let row = row0 + team;
    var highest = vec4<f32>(LOWEST);
    var highest_half = vec4<f32>(LOWEST);
    var total = vec4<f32>(0.0);
    var total_half = vec4<f32>(0.0);
    // By row, then by column of a group; those of the second half of rows, of columns.
    var sum00 = mat4x4<f32>();
    var sum01 = mat4x4<f32>();
    var sum10 = mat4x4<f32>();
    var sum11 = mat4x4<f32>();

    var held = fetch_chunk(lane, row0, 0u, head, 0u);
    for (var key0 = 0u; key0 < params.keys; key0 += STEP_KEYS) {
        // By key, then by row.
        var scores = mat4x4<f32>();
        var scores_half = mat4x4<f32>();
        for (var chunk4 = 0u; chunk4 < DEPTH4; chunk4 += CHUNK4) {
            put_chunk(lane, held);
            workgroupBarrier();
            if chunk4 + CHUNK4 < DEPTH4 {
                held = fetch_chunk(lane, row0, key0, head, chunk4 + CHUNK4);
            } else {
                held = fetch_values(lane, key0, head);
            }
            for (var col4 = 0u; col4 < CHUNK4; col4++) {
                let left = col4 * ROW_STRIDE + team;
                let keys = staged(KEYS_AT + col4 * KEY_STRIDE + member, KEYS_APART);
                scores = added(scores, transpose(staged(left, TEAMS)), keys);
                scores_half = added(scores_half, transpose(staged(left + HALF, TEAMS)), keys);
            }
            workgroupBarrier();
        }

        let key = key0 + 4u * member;
        scores = all_scored(scores, head, row, key);
        scores_half = all_scored(scores_half, head, row + HALF, key);
        show(lane, highest_of(scores), highest_of(scores_half));
        var high = highest;
        var high_half = highest_half;
        for (var i = 0u; i < TEAM; i++) {
            high = max(high, stage[team * TEAM + i]);
            high_half = max(high_half, stage[INVOCATIONS + team * TEAM + i]);
        }
        workgroupBarrier();
        let keep = exp(max(highest - high, vec4<f32>(-80.0)));
        let keep_half = exp(max(highest_half - high_half, vec4<f32>(-80.0)));
        highest = high;
        highest_half = high_half;
        scores = all_shares(scores, highest, key);
        scores_half = all_shares(scores_half, highest_half, key);
        total = total * keep + (scores[0] + scores[1] + scores[2] + scores[3]);
        total_half = total_half * keep_half
            + (scores_half[0] + scores_half[1] + scores_half[2] + scores_half[3]);
        sum00 = scaled(sum00, keep);
        sum10 = scaled(sum10, keep_half);
        if HELD > 1u {
            sum01 = scaled(sum01, keep);
            sum11 = scaled(sum11, keep_half);
        }

        for (var piece = 0u; piece < STEP_KEYS; piece += PIECE) {
            // The four keys of an invocation lie in one piece.
            if 4u * member / PIECE == piece / PIECE {
                let at = (4u * member - piece) / 4u * ROW_STRIDE + team;
                put_shares(at, scores);
                put_shares(at + HALF, scores_half);
            }
            put_values(lane, held);
            workgroupBarrier();
            if piece + PIECE < STEP_KEYS {
                held = fetch_values(lane, key0 + piece + PIECE, head);
            } else {
                held = fetch_chunk(lane, row0, key0 + STEP_KEYS, head, 0u);
            }
            for (var four = 0u; four < PIECE / 4u; four++) {
                let at = four * ROW_STRIDE + team;
                let shares = staged(at, TEAMS);
                let shares_half = staged(at + HALF, TEAMS);
                let place = VALUES_AT + 4u * four * VALUE_STRIDE + member;
                let values = staged(place, VALUE_STRIDE);
                sum00 = added(sum00, values, shares);
                sum10 = added(sum10, values, shares_half);
                if HELD > 1u {
                    let values_half = staged(place + TEAM, VALUE_STRIDE);
                    sum01 = added(sum01, values_half, shares);
                    sum11 = added(sum11, values_half, shares_half);
                }
            }
            workgroupBarrier();
        }
    }

    show(lane, total, total_half);
    var all = vec4<f32>(0.0);
    var all_half = vec4<f32>(0.0);
    for (var i = 0u; i < TEAM; i++) {
        all += stage[team * TEAM + i];
        all_half += stage[INVOCATIONS + team * TEAM + i];
    }
    let by = 1.0 / all;
    let by_half = 1.0 / all_half;
    store(row, head, member, scaled(sum00, by));
    store(row + HALF, head, member, scaled(sum10, by_half));
    if HELD > 1u {
        store(row, head, member + TEAM, scaled(sum01, by));
        store(row + HALF, head, member + TEAM, scaled(sum11, by_half));
    }
}
