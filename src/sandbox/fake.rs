//! A scripted back-end for tests.
