//! The objects of a `torch.save` pickle, and the names it may refer to.

use super::element::{BYTES, Element};
use super::tensor::{Storage, Tensor};

/// An object, as its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) u32);

/// One object.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// `None`, a float, hooks: whatever is passed on and never looked at.
    Opaque,
    Bool,
    Int(i64),
    Text(&'a str),
    /// A tuple or a list.
    Sequence(Vec<Id>),
    /// A `dict` or an `OrderedDict`, its keys as often as they were set.
    Dict(Vec<(Id, Id)>),
    Named(Named),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
}

/// A name that a pickle may refer to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    Rebuild,
    /// `torch._utils._rebuild_tensor_v3`, which passes the element type apart from the storage.
    RebuildTyped,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `torch.Size`.
    Size,
    /// `torch.FloatStorage` and the like.
    Storage(&'static Element),
    /// `torch.float8_e4m3fn` and the like.
    Type(&'static Element),
}

impl Named {
    pub(super) fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::Rebuild,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTyped,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch.storage", "UntypedStorage") => Self::Storage(&BYTES),
            ("torch", name) => match Element::of_storage(name) {
                Some(element) => Self::Storage(element),
                None => Self::Type(Element::of_type(name)?),
            },
            _ => return None,
        })
    }
}
