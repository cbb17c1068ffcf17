//! Names of fields and contracts, as each language writes them.

use std::collections::HashSet;

use omomi::contract::Contract;

use super::{Language, NamingError};

/// The names in a declaration.
pub(super) struct Names {
    /// Name of the object, class or struct.
    pub(super) type_name: String,
    /// Name of each field, in contract order. No two are equal.
    pub(super) fields: Vec<String>,
}

impl Names {
    pub(super) fn new(contract: &Contract, language: Language, name: Option<&str>) -> Result<Self, NamingError> {
        let type_name = match name {
            Some(name) if is_identifier(name) && !is_taken_type(name, language) => name.to_owned(),
            Some(name) => return Err(NamingError::Name { name: name.to_owned() }),
            None => type_name(contract.name(), language),
        };
        let mut taken = HashSet::new();
        let fields = contract.fields().iter().map(|field| {
            let name = field_name(&field.name, language);
            let mut unique = name.clone();
            let mut number = 1;
            while !taken.insert(unique.clone()) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            unique
        });
        let fields = fields.collect();
        Ok(Self { type_name, fields })
    }

    /// The name of the type as the begin of names of functions.
    pub(super) fn prefix(&self) -> String {
        words(&self.type_name).join("_")
    }
}

/// Whether `name` is an identifier in every language: ASCII, with a letter first.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Splits a name into its words, in lower case: at everything but letters and digits, and where capitals say so.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let letters: Vec<char> = name.chars().collect();
    let mut is_new = true;
    for (index, &letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            is_new = true;
            continue;
        }
        let before = index.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(index + 1);
        // `siteId` has two words, and so has `CTRModel`.
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| !before.is_ascii_uppercase() || after.is_some_and(char::is_ascii_lowercase));
        if is_new || begins {
            words.push(String::new());
            is_new = false;
        }
        if let Some(word) = words.last_mut() {
            word.push(letter.to_ascii_lowercase());
        }
    }
    words
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn type_name(contract: &str, language: Language) -> String {
    let name: String = words(contract).iter().map(|word| capitalized(word)).collect();
    if name.is_empty() {
        return "ServerFields".to_owned();
    }
    let name = if name.starts_with(|first: char| first.is_ascii_digit()) { format!("Contract{name}") } else { name };
    if is_taken_type(&name, language) { format!("{name}Contract") } else { name }
}

fn field_name(field: &str, language: Language) -> String {
    let mut words = words(field);
    if words.is_empty() || words[0].starts_with(|first: char| first.is_ascii_digit()) {
        words.insert(0, "field".to_owned());
    }
    if is_taken(&spelled(&words, language), language) {
        words.push("field".to_owned());
    }
    spelled(&words, language)
}

fn spelled(words: &[String], language: Language) -> String {
    match language {
        Language::Scala => {
            let rest: String = words[1..].iter().map(|word| capitalized(word)).collect();
            words[0].clone() + &rest
        }
        Language::Java => words.join("_").to_uppercase(),
        Language::C | Language::Rust => words.join("_"),
    }
}

/// Whether a field cannot have this name: a word of the language, or of what the declaration inherits or imports.
fn is_taken(name: &str, language: Language) -> bool {
    is_keyword(name, language)
        || match language {
            Language::Scala => SCALA_MEMBERS.contains(&name),
            Language::Java => name == "SCHEMA",
            Language::C => C_MACROS.contains(&name),
            Language::Rust => false,
        }
}

fn is_taken_type(name: &str, language: Language) -> bool {
    is_keyword(name, language) || TYPES.contains(&name)
}

pub(super) fn is_keyword(name: &str, language: Language) -> bool {
    match language {
        Language::Scala => SCALA_KEYWORDS.contains(&name),
        Language::Java => JAVA_KEYWORDS.contains(&name),
        // Headers are for C++ too.
        Language::C => C_KEYWORDS.contains(&name) || CPP_KEYWORDS.contains(&name),
        Language::Rust => RUST_KEYWORDS.contains(&name),
    }
}

/// Types that a declaration names, or that are in scope where it is used.
const TYPES: &[&str] = &[
    "Boolean",
    "Candidate",
    "Context",
    "Err",
    "Error",
    "Field",
    "FieldSlot",
    "Fields",
    "Int",
    "Integer",
    "Layout",
    "LiveModel",
    "LiveScorer",
    "Long",
    "Model",
    "None",
    "Object",
    "Ok",
    "Option",
    "Predef",
    "Result",
    "Row",
    "Schema",
    "SchemaField",
    "Scorer",
    "Self",
    "Side",
    "Some",
    "String",
    "System",
];

const SCALA_KEYWORDS: &[&str] = &[
    "abstract",
    "case",
    "catch",
    "class",
    "def",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "final",
    "finally",
    "for",
    "forSome",
    "given",
    "if",
    "implicit",
    "import",
    "lazy",
    "macro",
    "match",
    "new",
    "null",
    "object",
    "override",
    "package",
    "private",
    "protected",
    "return",
    "sealed",
    "super",
    "then",
    "this",
    "throw",
    "trait",
    "true",
    "try",
    "type",
    "val",
    "var",
    "while",
    "with",
    "yield",
];

/// Members of `Fields` and of every object.
const SCALA_MEMBERS: &[&str] = &[
    "asInstanceOf",
    "builder",
    "candidate",
    "clone",
    "context",
    "declared",
    "declaredTogether",
    "eq",
    "equals",
    "finalize",
    "getClass",
    "hashCode",
    "isInstanceOf",
    "ne",
    "notify",
    "notifyAll",
    "schema",
    "synchronized",
    "toString",
    "wait",
];

const JAVA_KEYWORDS: &[&str] = &[
    "abstract",
    "assert",
    "boolean",
    "break",
    "byte",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extends",
    "false",
    "final",
    "finally",
    "float",
    "for",
    "goto",
    "if",
    "implements",
    "import",
    "instanceof",
    "int",
    "interface",
    "long",
    "native",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "short",
    "static",
    "strictfp",
    "super",
    "switch",
    "synchronized",
    "this",
    "throw",
    "throws",
    "transient",
    "true",
    "try",
    "void",
    "volatile",
    "while",
];

const C_KEYWORDS: &[&str] = &[
    "alignas",
    "alignof",
    "auto",
    "bool",
    "break",
    "case",
    "char",
    "const",
    "constexpr",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "false",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "nullptr",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "struct",
    "switch",
    "thread_local",
    "true",
    "typedef",
    "typeof",
    "typeof_unqual",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
];

const CPP_KEYWORDS: &[&str] = &[
    "and",
    "and_eq",
    "asm",
    "bitand",
    "bitor",
    "catch",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const_cast",
    "consteval",
    "constinit",
    "decltype",
    "delete",
    "dynamic_cast",
    "explicit",
    "export",
    "friend",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "reinterpret_cast",
    "requires",
    "static_cast",
    "template",
    "this",
    "throw",
    "try",
    "typeid",
    "typename",
    "using",
    "virtual",
    "wchar_t",
    "xor",
    "xor_eq",
];

/// Macros in lower case of the usual headers and compilers.
const C_MACROS: &[&str] = &[
    "assert",
    "complex",
    "errno",
    "i386",
    "imaginary",
    "linux",
    "offsetof",
    "setjmp",
    "stderr",
    "stdin",
    "stdout",
    "unix",
];

const RUST_KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
