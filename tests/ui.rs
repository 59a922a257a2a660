//! What does not compile, and what the compiler says about it.
//!
//! The texts are those of one compiler; run with `TRYBUILD=overwrite` to write them anew, and read them.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
