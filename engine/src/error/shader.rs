//! Errors of the kernel library and its linker.

/// What is wrong with a kernel's text or the modules chosen for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShaderError {
    /// A module that the library does not hold.
    #[error("{importer}:{line}: there is no module `{module}` in shaders/; known: {known}")]
    UnknownModule {
        /// The file that asks.
        importer: String,
        /// Its line.
        line: usize,
        /// What it asks for.
        module: String,
        /// What there is.
        known: String,
    },
    /// A kernel that the library does not hold.
    #[error("there is no kernel `{name}`; known: {known}")]
    UnknownKernel {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A slot that the kernel does not import.
    #[error("kernel `{kernel}` has no slot `{slot}`; it imports {imports}")]
    UnknownSlot {
        /// The kernel.
        kernel: String,
        /// The slot that was set.
        slot: String,
        /// What the kernel imports.
        imports: String,
    },
    /// An import that is not of the form `import package::module::{name, …};` on one line.
    #[error(
        "{module}:{line}: expected `import package::module::{{name, …}};` on one line, found `{found}`"
    )]
    BadImport {
        /// The file.
        module: String,
        /// Its line.
        line: usize,
        /// The text of the line.
        found: String,
    },
    /// A name that the imported module does not declare.
    #[error("{importer}:{line}: module `{module}` does not declare `{name}`")]
    MissingName {
        /// The file that imports.
        importer: String,
        /// Its line.
        line: usize,
        /// The module imported from.
        module: String,
        /// The name that is not there.
        name: String,
    },
    /// Modules that import each other.
    #[error("modules import each other: {chain}")]
    Cycle {
        /// The modules in order, the first repeated at the end.
        chain: String,
    },
    /// A name declared by two modules of one kernel.
    #[error("`{name}` is declared by {first} and again by {second}")]
    DuplicateName {
        /// The name.
        name: String,
        /// Module and line of the first.
        first: String,
        /// Module and line of the second.
        second: String,
    },
    /// WGSL that naga rejects, with the place in the file it comes from.
    #[error("{place}: {message}\n  in {variant}")]
    Wgsl {
        /// Module and line.
        place: String,
        /// naga's message.
        message: String,
        /// The variant being linked.
        variant: String,
    },
}
