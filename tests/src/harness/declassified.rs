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
