//! What a server's team needs of a contract: the declaration of its fields as source text, and what to change when the
//! contract changes.
//!
//! ```
//! use omomi_train::agreement::{Language, Naming, declaration};
//!
//! let contract = omomi_train::toml::parse_contract(omomi_train::log::generate::CONTRACT)?;
//! let source = declaration(&contract, Language::Scala, &Naming::default())?;
//! assert!(source.contains("object GeneratedCtr extends Fields"));
//! assert!(source.contains("val userId = context.id(\"user_id\")"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod c;
mod comment;
mod difference;
mod java;
mod names;
mod rust;
mod scala;

use omomi::contract::{Contract, Field, FieldKind};
use thiserror::Error;

pub use difference::{Change, ChangeKind, Difference, compare};

use names::{Names, is_identifier};

/// The language of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// An object that extends `io.omomi.scaladsl.Fields`, for Scala 2.12, 2.13 and 3.
    Scala,
    /// A class of constants, for Java 8 or newer.
    Java,
    /// A header, for C99, C++11 or newer.
    C,
    /// A struct of slots.
    Rust,
}

/// The names in a declaration that do not come from fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// Name of the object, class or struct. `None`: made from the name of the contract.
    pub name: Option<String>,
    /// Package of the Scala object or Java class. `None`: none.
    pub package: Option<String>,
}

/// A name that cannot be used in a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NamingError {
    /// The name of the object, class or struct.
    #[error(
        "the name `{name}` does not fit: expected ASCII letters, digits and underscores, with a letter first, and no \
         word that the language or omomi uses"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// The package.
    #[error("the package `{package}` does not fit: expected ASCII identifiers joined by dots, such as com.example.ads")]
    Package {
        /// The package as given.
        package: String,
    },
    /// A package was given for a language that has none.
    #[error("a package is for Scala and Java only")]
    NoPackages,
}

/// Returns the server's declaration of the fields of `contract` as source text. The text names the contract and its
/// fingerprint, and says which texts must be sent as Unicode NFC.
///
/// # Errors
///
/// Returns [`NamingError`] if a name of `naming` is not one in `language`.
pub fn declaration(contract: &Contract, language: Language, naming: &Naming) -> Result<String, NamingError> {
    let names = Names::new(contract, language, naming.name.as_deref())?;
    if let Some(package) = &naming.package {
        if !matches!(language, Language::Scala | Language::Java) {
            return Err(NamingError::NoPackages);
        }
        if !package.split('.').all(|part| is_identifier(part) && !names::is_keyword(part, language)) {
            return Err(NamingError::Package { package: package.clone() });
        }
    }
    let package = naming.package.as_deref();
    Ok(match language {
        Language::Scala => scala::declaration(contract, &names, package),
        Language::Java => java::declaration(contract, &names, package),
        Language::C => c::declaration(contract, &names),
        Language::Rust => rust::declaration(contract, &names),
    })
}

/// The command that makes a declaration again, for the head of the text.
const fn command(language: Language) -> &'static str {
    match language {
        Language::Scala => "omomi contract generate --scala",
        Language::Java => "omomi contract generate --java",
        Language::C => "omomi contract generate --c",
        Language::Rust => "omomi contract generate --rust",
    }
}

/// Where the text comes from, and what to do with it.
fn origin(contract: &Contract, language: Language) -> String {
    format!(
        "Made by `{}` from the contract {}, fingerprint {:016x}. Do not edit it: make it again when the contract \
         changes.",
        command(language),
        contract.name(),
        contract.fingerprint()
    )
}

/// Each field with its name in the declaration.
fn named<'a>(contract: &'a Contract, names: &'a Names) -> impl Iterator<Item = (usize, &'a Field, &'a str)> {
    contract.fields().iter().zip(&names.fields).enumerate().map(|(index, (field, name))| (index, field, name.as_str()))
}

/// What a server must know of a field beside its declaration: the meaning, and NFC.
fn description(contract: &Contract, index: usize) -> String {
    let field = &contract.fields()[index];
    let meaning = if field.meaning.is_empty() { &field.name } else { &field.meaning };
    if contract.reading().fields[index].nfc { format!("{meaning}. Send it as Unicode NFC") } else { meaning.clone() }
}

/// The names of the fields whose texts a server must send as NFC, as a sentence, or nothing.
fn nfc_note(contract: &Contract) -> Option<String> {
    let fields = contract.fields().iter().zip(&contract.reading().fields);
    let names: Vec<&str> = fields.filter(|(_, reading)| reading.nfc).map(|(field, _)| field.name.as_str()).collect();
    let verb = if names.len() == 1 { "takes" } else { "take" };
    (!names.is_empty()).then(|| {
        format!(
            "{} {verb} texts in Unicode NFC: training normalizes them, and scoring does not, so the server must send \
             NFC. A text in another form is an unseen category.",
            names.join(", ")
        )
    })
}

/// The unit and the range of a number.
fn number(field: &Field) -> Option<(&str, [f64; 2])> {
    match &field.kind {
        FieldKind::Number { unit, range, .. } => Some((unit, *range)),
        FieldKind::Id | FieldKind::Text => None,
    }
}

/// A double as all four languages read it: with a point or an exponent.
fn float(value: f64) -> String {
    format!("{value:?}")
}

/// A text as a string literal of Scala, Java, C and Rust: printable, on one line, and with no escape that only one of
/// them knows.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
