//! Joins the categories of a cross's members into one text, and splits the text again.

/// Separates the categories of a cross's members.
const JOINER: char = '*';
/// Precedes a [`JOINER`] or an escape that belongs to a category.
const ESCAPE: char = '\\';

/// Appends the category of the next member of a cross to `text`, which is empty before the first.
pub(crate) fn join_category(is_first: bool, category: &str, text: &mut String) {
    if !is_first {
        text.push(JOINER);
    }
    for char in category.chars() {
        if matches!(char, JOINER | ESCAPE) {
            text.push(ESCAPE);
        }
        text.push(char);
    }
}

/// Splits the category of a cross, as written in a training state, into the categories of its members, in contract
/// order. Returns `None` if an escape is at the end or before a character that needs none, which no training writes.
#[must_use]
pub fn split_categories(text: &str) -> Option<Vec<String>> {
    let mut categories = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            JOINER => {
                categories.push(String::new());
                continue;
            }
            ESCAPE => chars.next().filter(|char| matches!(*char, JOINER | ESCAPE))?,
            other => other,
        };
        categories.last_mut()?.push(char);
    }
    Some(categories)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(categories: &[String]) -> String {
        let mut text = String::new();
        for (index, category) in categories.iter().enumerate() {
            join_category(index == 0, category, &mut text);
        }
        text
    }

    #[test]
    fn members_of_a_cross_can_be_told_apart_whatever_their_text() {
        let categories = ["a*b\\".to_owned(), String::new(), "猫".to_owned()];
        assert_eq!(joined(&categories), "a\\*b\\\\**猫");
        assert_eq!(split_categories("a\\*b\\\\**猫").unwrap(), categories);
    }

    #[test]
    fn escapes_that_no_training_writes_are_rejected() {
        assert_eq!(split_categories("a\\"), None);
        assert_eq!(split_categories("\\a*b"), None);
    }

    proptest! {
        #[test]
        fn splitting_undoes_joining(categories in prop::collection::vec("[a*\\\\猫]{0,5}", 1..5)) {
            prop_assert_eq!(split_categories(&joined(&categories)).unwrap(), categories);
        }
    }
}
