// stage: f16 operands of cooperative matrices in workgroup memory, one an element: Metal loads a
// matrix through a pointer to its own element type.

enable f16;

import package::tile::{STAGE4};

const STAGE_UNIT = 4u;

var<workgroup> stage: array<f16, STAGE4 * STAGE_UNIT>;

fn put_stage4(at4: u32, four: vec4<f16>) {
    let at = at4 * STAGE_UNIT;
    stage[at] = four.x;
    stage[at + 1u] = four.y;
    stage[at + 2u] = four.z;
    stage[at + 3u] = four.w;
}
