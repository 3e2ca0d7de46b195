#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_yaml_fuzz::documents(data));
