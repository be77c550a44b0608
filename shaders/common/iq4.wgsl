// iq4_values: the values of four codes of IQ4_NL and IQ4_XS, for the codes 0 to 15:
//
//   -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113
//
// An indexed array would be placed in memory; four words of four signed bytes are constants.

fn iq4_values(codes: vec4<u32>) -> vec4<f32> {
    let negative = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), (codes & vec4<u32>(4u)) != vec4<u32>(0u));
    let positive = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), (codes & vec4<u32>(4u)) != vec4<u32>(0u));
    let words = select(negative, positive, codes >= vec4<u32>(8u));
    // The byte to the top of a word, and down again with its sign.
    let top = words << (vec4<u32>(24u) - (codes & vec4<u32>(3u)) * vec4<u32>(8u));
    return vec4<f32>(bitcast<vec4<i32>>(top) >> vec4<u32>(24u));
}
