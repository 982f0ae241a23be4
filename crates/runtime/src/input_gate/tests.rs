//! Tests of `input_gate`.
