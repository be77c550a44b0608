// bias: key_bias[key], the same for every head and query.
//
// With log(n) a key counts as n keys that are the same; with a large negative number it counts as
// none.

@group(0) @binding(8) var<storage, read> key_bias: array<f32>; // [Lk]

var<private> bias_keys: u32;
var<private> bias_heads: u32;

fn score_bias(head: u32, query: u32, key: u32) -> f32 {
    return key_bias[key];
}
