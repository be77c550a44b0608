//! Twin of `attention.wgsl` and of the `bias` modules.

/// `softmax(scale q k^T + bias(head, query, key)) v`; q [lq, h, d], k and v [lk, h, d].
pub fn attention(
    [q, k, v]: [&[f32]; 3],
    [lq, lk, h, d]: [usize; 4],
    scale: f64,
    bias: impl Fn(usize, usize, usize) -> f64,
) -> Vec<f64> {
    let at = |row: usize, head: usize, i: usize| (row * h + head) * d + i;
    let mut out = vec![0.0; lq * h * d];
    for head in 0..h {
        for query in 0..lq {
            let mut weights = vec![0.0; lk];
            for (key, weight) in weights.iter_mut().enumerate() {
                for i in 0..d {
                    *weight += f64::from(q[at(query, head, i)]) * f64::from(k[at(key, head, i)]);
                }
                *weight = scale * *weight + bias(head, query, key);
            }
            let highest = weights.iter().copied().fold(f64::MIN, f64::max);
            weights
                .iter_mut()
                .for_each(|weight| *weight = (*weight - highest).exp());
            let total: f64 = weights.iter().sum();
            for (key, weight) in weights.iter().enumerate() {
                for i in 0..d {
                    out[at(query, head, i)] += weight / total * f64::from(v[at(key, head, i)]);
                }
            }
        }
    }
    out
}
