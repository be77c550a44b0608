// reduce: one value from each invocation of a team, joined by subgroup operations first.
//
// In a subgroup each pair of neighbours adds, then each pair of pairs: all get the same sum, in an
// order that follows from the subgroup's size alone. The sums of the subgroups of a larger team are
// joined in workgroup memory. A device whose smallest subgroup (LEAST) holds a team has no barrier
// at all.
//
// The size is counted, not assumed: it may be anything from LEAST up, and where the workgroup is
// smaller than a subgroup it is the workgroup's. A subgroup's invocations are neighbours in a
// workgroup of one dimension.

override LANES: u32 = 64u;
override TEAM: u32 = 64u;
override APART: u32 = 1u;
override LEAST: u32 = 4u;

// Two alternating sets: one may still be read while the other is written.
var<workgroup> reduce_parts: array<array<f32, 2>, LANES>;
var<private> reduce_turn: u32;

// The invocations from a subgroup's first to its last, or a team's where a subgroup holds it.
fn reduce_reach() -> u32 {
    return min(subgroupAdd(1u), TEAM * APART);
}

// Shows what each subgroup came to for each team in it; returns where those of the team begin.
fn reduce_show(lane: u32, reach: u32, value: f32) -> u32 {
    reduce_turn = 1u - reduce_turn;
    if lane % reach < APART {
        reduce_parts[lane / reach * APART + lane % APART][reduce_turn] = value;
    }
    workgroupBarrier();
    return lane / (TEAM * APART) * (TEAM * APART / reach * APART) + lane % APART;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    let reach = reduce_reach();
    var sum = value;
    for (var apart = APART; apart < reach; apart *= 2u) {
        sum += subgroupShuffleXor(sum, apart);
    }
    if LEAST >= TEAM * APART {
        return sum;
    }
    // Each invocation for itself where a team has no two in a subgroup.
    let step = max(reach, APART);
    let first = reduce_show(lane, step, sum);
    var all = 0.0;
    for (var i = 0u; i < TEAM * APART / step; i++) {
        all += reduce_parts[first + i * APART][reduce_turn];
    }
    return all;
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    let reach = reduce_reach();
    var most = value;
    for (var apart = APART; apart < reach; apart *= 2u) {
        most = max(most, subgroupShuffleXor(most, apart));
    }
    if LEAST >= TEAM * APART {
        return most;
    }
    let step = max(reach, APART);
    let first = reduce_show(lane, step, most);
    for (var i = 0u; i < TEAM * APART / step; i++) {
        most = max(most, reduce_parts[first + i * APART][reduce_turn]);
    }
    return most;
}
