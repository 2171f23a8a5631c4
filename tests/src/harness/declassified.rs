//! The page of what is declassified, from the list in code.

use std::fmt::Write as _;

use cloister_primitives::Declassified;

/// `docs/declassified.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# What is declassified\n\n\
         Everybody may know this of a confidential chain, on purpose. The list is complete: the tests that compare pairs of \
         worlds accept no\nother difference. `make docs` writes this page from `cloister_primitives::Declassified`.\n\n\
         | name | what | why |\n| --- | --- | --- |\n",
    );
    for item in Declassified::ALL {
        // Writing into memory cannot fail.
        let _ = writeln!(page, "| `{}` | {} | {} |", item.name(), item.what(), item.reason());
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_item_has_a_row_of_its_own_with_a_reason() {
        let names: BTreeSet<_> = Declassified::ALL.iter().map(|item| item.name()).collect();
        assert_eq!(names.len(), Declassified::ALL.len());
        let page = markdown();
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), names.len());
        for item in Declassified::ALL {
            assert!(item.what().ends_with('.') && item.reason().ends_with('.'), "{}", item.name());
            assert!(!item.what().contains('|') && !item.reason().contains('|'), "{}", item.name());
        }
    }
}
