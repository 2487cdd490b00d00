//! OpenMetrics 1.0, in chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| leak_fuzz::laws::exposition(true, bytes));
