//! The bindings of a linked kernel, read from its text by naga.

use std::collections::BTreeMap;

use super::{Linked, Variant};
use crate::error::ShaderError;

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`, written at every element the op owns.
    Write,
    /// `var<storage, read_write>` whose old values matter: an op in place.
    ReadWrite,
}

/// A binding of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingKind {
    /// The kernel's `Params`.
    Uniform,
    /// A storage buffer that is only read.
    Read,
    /// A storage buffer that is written.
    ReadWrite,
}

/// A field of a kernel's `Params`, for comparison with the Rust struct of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamsField {
    /// The WGSL name.
    pub name: String,
    /// Bytes from the start of the struct.
    pub offset: u32,
    /// Bytes of the field.
    pub size: u32,
}

/// The bindings of group 0 and the layout of `Params`.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Binding index to kind.
    pub bindings: BTreeMap<u32, BindingKind>,
    /// The uniform's fields, empty without one.
    pub params: Vec<ParamsField>,
    /// Bytes of the uniform.
    pub params_size: u32,
}

impl Linked {
    /// Parses the text with naga.
    ///
    /// # Errors
    /// [`ShaderError::Wgsl`] with the place in the file the offending line comes from.
    pub fn parse(&self, variant: &Variant) -> Result<naga::Module, ShaderError> {
        naga::front::wgsl::parse_str(&self.text).map_err(|error| ShaderError::Wgsl {
            place: match error.location(&self.text) {
                Some(location) => self.place(location.line_number as usize),
                None => format!("shaders/{}.wgsl", variant.kernel()),
            },
            message: error.message().to_owned(),
            variant: format!("{variant:?}"),
        })
    }

    /// The bindings and the layout of the params.
    ///
    /// # Errors
    /// As [`Linked::parse`].
    pub fn interface(&self, variant: &Variant) -> Result<Interface, ShaderError> {
        let module = self.parse(variant)?;
        let mut found = Interface {
            bindings: BTreeMap::new(),
            params: Vec::new(),
            params_size: 0,
        };
        for (_, global) in module.global_variables.iter() {
            let Some(binding) = &global.binding else {
                continue;
            };
            let kind = match global.space {
                naga::AddressSpace::Uniform => BindingKind::Uniform,
                naga::AddressSpace::Storage { access }
                    if access.contains(naga::StorageAccess::STORE) =>
                {
                    BindingKind::ReadWrite
                }
                _ => BindingKind::Read,
            };
            found.bindings.insert(binding.binding, kind);
            if kind == BindingKind::Uniform
                && let naga::TypeInner::Struct { members, span } = &module.types[global.ty].inner
            {
                found.params_size = *span;
                found.params = members
                    .iter()
                    .map(|m| ParamsField {
                        name: m.name.clone().unwrap_or_default(),
                        offset: m.offset,
                        size: module.types[m.ty].inner.size(module.to_ctx()),
                    })
                    .collect();
            }
        }
        Ok(found)
    }
}
