// reduce: one value from each invocation of a team, joined by subgroup operations first.
//
// In a subgroup each pair of neighbours adds, then each pair of pairs: all get the same sum, in an
// order that follows from the subgroup's size alone. What subgroups of a larger team come to passes
// through workgroup memory. A device whose smallest subgroup (LEAST) holds a team has no barrier
// at all.
//
// The size is counted, not assumed: it may be anything from LEAST up, and where the workgroup is
// smaller than a subgroup it is the workgroup's. A subgroup's invocations are neighbours in a
// workgroup of one dimension.

override LANES: u32 = 64u;
override TEAM: u32 = 64u;
override LEAST: u32 = 4u;

// Two sets that take turns: what was shown before may still be read while the next is written.
var<workgroup> reduce_parts: array<f32, LANES>;
var<private> reduce_turn: u32;

// Shows what each subgroup, or team in it, came to; returns where those of the team begin.
fn reduce_show(lane: u32, near: u32, value: f32) -> u32 {
    reduce_turn = LANES / 2u - reduce_turn;
    if lane % near == 0u {
        reduce_parts[reduce_turn + lane / near] = value;
    }
    workgroupBarrier();
    return reduce_turn + lane / TEAM * (TEAM / near);
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    let near = min(subgroupAdd(1u), TEAM);
    var sum = value;
    for (var apart = 1u; apart < near; apart *= 2u) {
        sum += subgroupShuffleXor(sum, apart);
    }
    if LEAST >= TEAM {
        return sum;
    }
    let first = reduce_show(lane, near, sum);
    var all = 0.0;
    for (var i = first; i < first + TEAM / near; i++) {
        all += reduce_parts[i];
    }
    return all;
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    let near = min(subgroupAdd(1u), TEAM);
    var most = value;
    for (var apart = 1u; apart < near; apart *= 2u) {
        most = max(most, subgroupShuffleXor(most, apart));
    }
    if LEAST >= TEAM {
        return most;
    }
    let first = reduce_show(lane, near, most);
    for (var i = first; i < first + TEAM / near; i++) {
        most = max(most, reduce_parts[i]);
    }
    return most;
}
