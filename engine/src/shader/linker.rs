//! Concatenates a kernel and the modules it imports into one WGSL text with a line map.
//!
//! The syntax is WESL's subset `import package::module::{name, …};`, one import a line, at the
//! head of a file. Modules are emitted once each, before those that import them; `enable`
//! directives are hoisted to the top because naga rejects them after a declaration.

use std::collections::HashMap;

use super::{Library, Slot, Variant};
use crate::error::ShaderError;

/// A kernel's whole text, and where each line of it comes from.
#[derive(Debug, Clone)]
pub struct Linked {
    /// Complete WGSL, without imports.
    pub text: String,
    /// The modules in the order of the text, the kernel last.
    pub modules: Vec<String>,
    lines: Vec<(usize, usize)>,
}

impl Linked {
    /// `module.wgsl:line` of a line of the text, both counted from 1.
    pub fn place(&self, line: usize) -> String {
        match line.checked_sub(1).and_then(|l| self.lines.get(l)) {
            Some(&(module, line)) => format!("shaders/{}.wgsl:{line}", self.modules[module]),
            None => "linked text".to_owned(),
        }
    }
}

struct Import {
    line: usize,
    module: String,
    names: Vec<String>,
}

struct Linker<'a> {
    library: &'a Library,
    variant: &'a Variant,
    done: Vec<String>,
    stack: Vec<String>,
    enables: Vec<(String, usize, usize)>,
    body: Vec<(String, usize, usize)>,
    declared: HashMap<String, String>,
    names_of: HashMap<String, Vec<String>>,
    imported: Vec<String>,
}

/// Links the kernel of a variant with the modules in its slots.
///
/// # Errors
/// Unknown kernels, modules, slots or names, cycles, duplicate names, imports that do not parse.
pub(super) fn link(library: &Library, variant: &Variant) -> Result<Linked, ShaderError> {
    if !library.is_kernel(variant.kernel()) {
        return Err(ShaderError::UnknownKernel {
            name: variant.kernel().to_owned(),
            known: library.kernels().collect::<Vec<_>>().join(", "),
        });
    }
    let mut linker = Linker {
        library,
        variant,
        done: Vec::new(),
        stack: Vec::new(),
        enables: Vec::new(),
        body: Vec::new(),
        declared: HashMap::new(),
        names_of: HashMap::new(),
        imported: Vec::new(),
    };
    linker.module(variant.kernel(), variant.kernel(), 0)?;
    for (slot, _) in variant.slots() {
        if !linker.imported.iter().any(|m| m == slot.name()) {
            return Err(ShaderError::UnknownSlot {
                kernel: variant.kernel().to_owned(),
                slot: slot.name().to_owned(),
                imports: linker.imported.join(", "),
            });
        }
    }
    let mut text = String::new();
    let mut lines = Vec::new();
    for (line, module, number) in linker.enables.into_iter().chain(linker.body) {
        text.push_str(&line);
        text.push('\n');
        lines.push((module, number));
    }
    Ok(Linked {
        text,
        modules: linker.done,
        lines,
    })
}

impl Linker<'_> {
    /// The library path of an imported module name.
    fn resolve(&self, name: &str) -> String {
        for (slot, module) in self.variant.slots() {
            if slot.name() == name {
                return format!("{name}/{module}");
            }
        }
        name.to_owned()
    }

    fn source(&self, path: &str, importer: &str, line: usize) -> Result<String, ShaderError> {
        if path == "tile" && !self.variant.tile_constants().is_empty() {
            let constants = self.variant.tile_constants();
            return Ok(constants
                .iter()
                .map(|(n, v)| format!("const {n} = {v}u;\n"))
                .collect());
        }
        if let ("coop", Some(edge)) = (path, self.variant.coop_edge()) {
            return Ok(coop_module(edge));
        }
        self.library
            .text(path)
            .map(str::to_owned)
            .ok_or_else(|| ShaderError::UnknownModule {
                importer: format!("shaders/{importer}.wgsl"),
                line,
                module: path.to_owned(),
                known: self.library.modules().collect::<Vec<_>>().join(", "),
            })
    }

    fn module(&mut self, path: &str, importer: &str, line: usize) -> Result<(), ShaderError> {
        if self.done.iter().any(|m| m == path) {
            return Ok(());
        }
        if self.stack.iter().any(|m| m == path) {
            let mut chain = self.stack.clone();
            chain.push(path.to_owned());
            return Err(ShaderError::Cycle {
                chain: chain.join(" -> "),
            });
        }
        let text = self.source(path, importer, line)?;
        self.stack.push(path.to_owned());
        for import in imports(path, &text)? {
            self.imported.push(import.module.clone());
            let target = self.resolve(&import.module);
            self.module(&target, path, import.line)?;
            for name in import.names {
                if !self
                    .names_of
                    .get(&target)
                    .is_some_and(|names| names.contains(&name))
                {
                    return Err(ShaderError::MissingName {
                        importer: format!("shaders/{path}.wgsl"),
                        line: import.line,
                        module: target,
                        name,
                    });
                }
            }
        }
        self.stack.pop();
        let index = self.done.len();
        self.done.push(path.to_owned());
        let mut names = Vec::new();
        let mut depth = 0i32;
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or("").trim();
            if code.starts_with("import ") {
                continue;
            }
            if code.starts_with("enable ") {
                if !self.enables.iter().any(|(l, ..)| l == code) {
                    self.enables.push((code.to_owned(), index, number));
                }
                continue;
            }
            if let (0, Some(name)) = (depth, declared_name(code)) {
                let here = format!("shaders/{path}.wgsl:{number}");
                if let Some(first) = self.declared.insert(name.to_owned(), here.clone()) {
                    return Err(ShaderError::DuplicateName {
                        name: name.to_owned(),
                        first,
                        second: here,
                    });
                }
                names.push(name.to_owned());
            }
            depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
            self.body.push((line.to_owned(), index, number));
        }
        self.names_of.insert(path.to_owned(), names);
        Ok(())
    }
}

/// `coop.wgsl` for matrices of another edge length: types cannot be overridden.
fn coop_module(edge: u32) -> String {
    format!(
        "enable f16;\n\
         enable wgpu_cooperative_matrix;\n\
         const COOP_EDGE = {edge}u;\n\
         alias CoopA = coop_mat{edge}x{edge}<f16, A>;\n\
         alias CoopB = coop_mat{edge}x{edge}<f16, B>;\n\
         alias CoopC = coop_mat{edge}x{edge}<f32, C>;\n"
    )
}

fn imports(module: &str, text: &str) -> Result<Vec<Import>, ShaderError> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or("").trim();
        if !code.starts_with("import ") {
            continue;
        }
        let parsed = code
            .strip_prefix("import package::")
            .and_then(|rest| rest.strip_suffix("};"))
            .and_then(|rest| rest.split_once("::{"));
        let Some((path, names)) = parsed else {
            return Err(ShaderError::BadImport {
                module: format!("shaders/{module}.wgsl"),
                line: number,
                found: code.to_owned(),
            });
        };
        found.push(Import {
            line: number,
            module: path.replace("::", "/"),
            names: names
                .split(',')
                .map(|n| n.trim().to_owned())
                .filter(|n| !n.is_empty())
                .collect(),
        });
    }
    Ok(found)
}

/// The name that a line at module scope declares.
fn declared_name(code: &str) -> Option<&str> {
    // Attributes precede a declaration, on its line or on a separate one.
    let mut code = code;
    while let Some(rest) = code.strip_prefix('@') {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let rest = &rest[word..];
        code = match rest.strip_prefix('(') {
            Some(inside) => inside.split_once(')').map_or("", |(_, after)| after),
            None => rest,
        }
        .trim_start();
    }
    let rest = ["fn ", "struct ", "const ", "override ", "alias "]
        .iter()
        .find_map(|keyword| code.strip_prefix(keyword))
        .or_else(|| {
            let rest = code.strip_prefix("var")?;
            match rest.strip_prefix('<') {
                Some(inside) => inside.split_once('>').map(|(_, after)| after.trim_start()),
                None => rest.strip_prefix(' '),
            }
        })?
        .trim_start();
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// The slot of that name.
pub(super) fn slot_named(name: &str) -> Option<Slot> {
    Slot::ALL.into_iter().find(|s| s.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(files: &[(&'static str, &'static str)]) -> Library {
        Library::from_files(files.to_vec())
    }

    #[test]
    fn modules_come_before_their_importers_and_lines_keep_their_place() {
        let library = library(&[
            (
                "k",
                "import package::weight::{load};\n@compute @workgroup_size(1)\nfn main() {}\n",
            ),
            ("weight", "fn load() {}\n"),
            ("weight/f16", "enable f16;\nfn load() {}\n"),
        ]);
        let plain = link(&library, &Variant::new("k")).unwrap();
        assert_eq!(
            plain.text,
            "fn load() {}\n@compute @workgroup_size(1)\nfn main() {}\n"
        );
        assert_eq!(plain.place(3), "shaders/k.wgsl:3");
        let f16 = link(&library, &Variant::new("k").slot(Slot::Weight, "f16")).unwrap();
        assert!(f16.text.starts_with("enable f16;\nfn load"));
        assert_eq!(f16.place(2), "shaders/weight/f16.wgsl:2");
    }

    #[test]
    fn mistakes_are_named() {
        let cyclic = library(&[
            ("k", "import package::a::{x};\n@compute fn main() {}"),
            ("a", "import package::b::{y};\nfn x() {}"),
            ("b", "import package::a::{x};\nfn y() {}"),
        ]);
        let error = link(&cyclic, &Variant::new("k")).unwrap_err();
        assert_eq!(
            error,
            ShaderError::Cycle {
                chain: "k -> a -> b -> a".into()
            }
        );

        let twice = library(&[
            (
                "k",
                "import package::a::{x};\nconst x = 1;\n@compute fn main() {}",
            ),
            ("a", "fn x() {\n  let z = 1;\n}"),
        ]);
        assert!(matches!(
            link(&twice, &Variant::new("k")),
            Err(ShaderError::DuplicateName { name, .. }) if name == "x"
        ));

        let missing = library(&[
            ("k", "import package::a::{nope};\n@compute fn main() {}"),
            ("a", "fn x() {}"),
        ]);
        assert!(matches!(
            link(&missing, &Variant::new("k")),
            Err(ShaderError::MissingName { line: 1, name, .. }) if name == "nope"
        ));

        let bad = library(&[("k", "import package::a;\n@compute fn main() {}")]);
        assert!(matches!(
            link(&bad, &Variant::new("k")),
            Err(ShaderError::BadImport { .. })
        ));

        let unknown = library(&[("k", "import package::zz::{a};\n@compute fn main() {}")]);
        assert!(matches!(
            link(&unknown, &Variant::new("k")),
            Err(ShaderError::UnknownModule { module, .. }) if module == "zz"
        ));
        let slotless = library(&[("k", "@compute fn main() {}")]);
        assert!(matches!(
            link(&slotless, &Variant::new("k").slot(Slot::Weight, "f16")),
            Err(ShaderError::UnknownSlot { .. })
        ));
    }
}
