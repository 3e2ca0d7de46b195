//! Whether a program can run where there is nothing else.
use anyhow::{Context, Result, bail};
use object::elf;
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind};
use oci_spec::image::Arch;

/// What the program runs on, if it needs neither a loader nor libraries.
///
/// # Errors
/// It needs some, or is no program for 64-bit Linux on a CPU that we know.
pub(super) fn architecture_if_static(bytes: &[u8]) -> Result<Arch> {
    if FileKind::parse(bytes).ok() != Some(FileKind::Elf64) {
        bail!("it is no program for 64-bit Linux");
    }
    let file = ElfFile64::<Endianness>::parse(bytes).context("read its headers")?;
    let endian = file.endian();
    for header in file.elf_program_headers() {
        if header.p_type(endian) == elf::PT_INTERP {
            bail!("it is linked dynamically (it names a loader), and an image of one program has no libraries");
        }
        let entries = header.dynamic(endian, bytes).context("read its dynamic section")?;
        if entries.into_iter().flatten().any(|entry| entry.tag(endian) == elf::DT_NEEDED) {
            bail!("it needs a shared library, and an image of one program has none");
        }
    }
    match file.elf_header().e_machine(endian) {
        elf::EM_X86_64 => Ok(Arch::Amd64),
        elf::EM_AARCH64 => Ok(Arch::ARM64),
        other => bail!("it is for a CPU that is not known here (ELF machine {other})"),
    }
}
