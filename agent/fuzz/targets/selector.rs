//! Selectors of the command line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| leak_fuzz::laws::selector(bytes));
