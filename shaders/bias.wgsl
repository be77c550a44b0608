// bias: the term added to an attention score. This module adds nothing.
//
//   score_bias(head, query, key)   added to the scaled score
//   bias_keys, bias_heads          Lk and H, set by the kernel before the first call

var<private> bias_keys: u32;
var<private> bias_heads: u32;

fn score_bias(head: u32, query: u32, key: u32) -> f32 {
    return 0.0;
}
