//! One prediction in one sandbox: the paragraph the program is about.
