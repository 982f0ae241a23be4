//! The test package has no library code; see it/.
