//! cloister-devtools
