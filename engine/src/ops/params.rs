//! Params of kernels: one Rust struct a kernel, compared with the WGSL struct by a test.

/// A kernel's params: fields of 32 bits in the order of the WGSL struct `Params`.
pub trait Params: bytemuck::Pod {
    /// The kernel's file name.
    const KERNEL: &'static str;
    /// Field names and byte offsets.
    const FIELDS: &'static [(&'static str, usize)];
}

/// Declares the params of a kernel.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident for $kernel:literal { $($field:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name { $(pub(crate) $field: $ty),* }

        impl $crate::ops::params::Params for $name {
            const KERNEL: &'static str = $kernel;
            const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];
        }
    };
}
pub(crate) use params;

/// A kernel's name, its params' bytes and fields.
pub type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

/// The layout of one kernel's params.
pub(super) fn layout<P: Params>() -> Layout {
    (P::KERNEL, size_of::<P>(), P::FIELDS)
}
