// bias: table[bucket[key - query + L - 1], head], the relative position bias of T5 and UMT5.
//
// The distance from a query to a key is one of 2 L - 1; the host puts each into its bucket.

@group(0) @binding(8) var<storage, read> bias_table: array<f32>; // [buckets, H]
@group(0) @binding(9) var<storage, read> bias_bucket: array<u32>; // [2 L - 1]

var<private> bias_keys: u32;
var<private> bias_heads: u32;

fn score_bias(head: u32, query: u32, key: u32) -> f32 {
    return bias_table[bias_bucket[key + bias_keys - 1u - query] * bias_heads + head];
}
