//! How exact a model's products are.

use super::{Caps, DeviceClass};
use crate::tensor::DType;

/// The precision to which operands of products may be rounded; sums and residual streams are always
/// f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Operands keep their 24 bits: the reference's arithmetic.
    F32,
    /// Operands may be rounded to f16, and what feeds a product is stored so, where the device
    /// has cooperative matrices: they take no others. For models whose activations stay well
    /// within f16's range (65,504).
    #[default]
    F16,
}

impl Precision {
    /// Both, under their names.
    pub const ALL: [(&'static str, Self); 2] = [("f16", Self::F16), ("f32", Self::F32)];

    /// The name that the command line takes: `f32`, `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Limits a device's capabilities to this precision: without cooperative matrices if operands must
    /// stay f32. Recordings use only the features in their [`Caps`].
    pub fn limit(self, caps: &Caps) -> Caps {
        let cooperative = match self {
            Self::F32 => Vec::new(),
            Self::F16 => caps.cooperative.clone(),
        };
        Caps {
            cooperative,
            ..caps.clone()
        }
    }
}

impl Caps {
    /// The element type of activations that feed products: f16 on devices with cooperative matrices,
    /// f32 elsewhere. If it is f16, a product may round f32 operands as well. Software devices use f32,
    /// because they compute such matrices element by element and gain nothing.
    pub fn activations(&self) -> DType {
        let matrices = self.f16 && !self.cooperative.is_empty();
        if matrices && self.class != DeviceClass::Software {
            DType::F16
        } else {
            DType::F32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_is_for_cooperative_matrices() {
        let gpu = Caps {
            class: DeviceClass::Discrete,
            f16: true,
            cooperative: vec![16],
            ..Caps::least()
        };
        let software = Caps {
            class: DeviceClass::Software,
            ..gpu.clone()
        };
        assert_eq!(Precision::F16.limit(&gpu), gpu);
        assert_eq!(gpu.activations(), DType::F16);
        assert_eq!(Precision::F32.limit(&gpu).activations(), DType::F32);
        assert_eq!(software.activations(), DType::F32);
        assert_eq!(Caps::least().activations(), DType::F32);
    }
}
