// stage: f16 operands of cooperative matrices in workgroup memory, four an element, so that each
// group is stored at once. For Vulkan, where a matrix may be loaded from an array of vectors.
//
//   stage               elements; a group of four is STAGE_UNIT of them
//   put_stage4(at4, four)   stores group `at4`

enable f16;

import package::tile::{STAGE4};

const STAGE_UNIT = 1u;

var<workgroup> stage: array<vec4<f16>, STAGE4>;

fn put_stage4(at4: u32, four: vec4<f16>) {
    stage[at4] = four;
}
