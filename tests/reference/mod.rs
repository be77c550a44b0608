//! The naive twin of each kernel: nested loops in f64, obvious by eye.

#![allow(dead_code, reason = "each test program uses its own twins")]

pub mod attention;
pub mod ceiling;
pub mod channel_norm;
pub mod conv3d;
pub mod frames;
pub mod latents;
pub mod matmul;
pub mod norm;
pub mod patch;
pub mod picture;
pub mod rope;
pub mod solver;
