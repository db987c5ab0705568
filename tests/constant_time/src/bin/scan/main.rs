//! Reads the machine code of the AVX-512 backend in a program, and what it calls: see `flow` for the rules.
//!
//! The first argument is the program; with `--list` behind it, each function is listed. Nothing is run, so any
//! machine with `objdump` will do.

mod flow;
mod instruction;
mod listing;
mod plants;
mod state;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use blindbook_constant_time::Verdicts;

use self::{
    flow::{Findings, Leak, Returns, follow},
    instruction::{Instruction, Operand, RSP, Register},
    listing::{Listing, Slot},
    state::Class,
};

const BACKEND: &str = "blindbook::kernel::avx512ifma::";

/// Where secrets enter. These can't be inlined into their callers, which are compiled for any CPU.
const ENTRIES: [&str; 4] = [
    "map_chunk",
    "multiply_chunk",
    "offset_chunk",
    "encode_chunk",
];

/// What gets public values only: elements from the wire, the base of a table, the weights of a proof.
const PUBLIC: [&str; 5] = [
    "decode",
    "multiscalar",
    "table",
    "fixed_base::Table::new",
    "fixed_base::shifted",
];

/// Arithmetic, which knows no lengths but those in registers: here nothing depends on a word in memory.
const ARITHMETIC: [&str; 4] = ["digits::", "edwards::", "field::", "variable_base::"];

/// Calls that don't come back.
const DIVERGING: [&str; 8] = [
    "_Unwind_Resume",
    "alloc::raw_vec::capacity_overflow",
    "alloc::raw_vec::handle_error",
    "alloc::alloc::handle_alloc_error",
    "core::panicking::",
    "core::slice::index::",
    "core::option::",
    "core::result::",
];

/// What isn't followed. Memory is taken and copied by public lengths, cores get public shares of a batch;
/// scalars are curve25519-dalek's, and that they are wiped and computed with in constant time is checked by
/// memcheck.
const TRUSTED: [&str; 12] = [
    "memcpy",
    "memmove",
    "memset",
    "__rust_alloc",
    "__rust_dealloc",
    "__rust_no_alloc_shim",
    "__rustc::",
    "alloc::raw_vec::RawVec",
    "rayon",
    "blindbook::group::Scalar",
    "curve25519_dalek::scalar",
    "zeroize::",
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    plants::keep();
    let mut arguments = env::args().skip(1);
    let program = PathBuf::from(arguments.next().ok_or("which program is to be read?")?);
    let list = arguments
        .next()
        .is_some_and(|argument| argument == "--list");
    let mut verdicts = Verdicts::default();
    find_plants(&mut verdicts)?;
    read(&program, list, &mut verdicts)?;
    Ok(verdicts.exit_code())
}

fn find_plants(verdicts: &mut Verdicts) -> Result<(), Box<dyn Error>> {
    let listing = Listing::of(&env::current_exe()?)?;
    let mut missed = Vec::new();
    for (plant, kind) in plants::PLANTS {
        let found = listing.functions().any(|(address, name)| {
            name.ends_with(plant)
                && examine(&listing, address)
                    .leaks(true)
                    .any(|leak| leak.kind == kind)
        });
        if !found {
            missed.push(plant);
        }
    }
    let details = format!("{} planted, not found: {missed:?}", plants::PLANTS.len());
    verdicts.line("planted leaks in machine code", missed.is_empty(), &details);
    Ok(())
}

fn read(program: &Path, list: bool, verdicts: &mut Verdicts) -> Result<(), Box<dyn Error>> {
    let listing = Listing::of(program)?;
    let mut queue: Vec<u64> = listing
        .functions()
        .filter(|(_, name)| name.contains(BACKEND) && !is_public(name))
        .map(|(address, _)| address)
        .collect();
    let mut wrong = Vec::new();
    for entry in ENTRIES {
        let entry = format!("{BACKEND}{entry}");
        if !listing.functions().any(|(_, name)| name == entry) {
            wrong.push(format!("{entry} isn't in the program"));
        }
    }
    let mut read = BTreeMap::new();
    while let Some(address) = queue.pop() {
        if read.contains_key(&address) {
            continue;
        }
        let name = listing.name(address).unwrap_or("?");
        let examined = examine(&listing, address);
        for leak in examined.leaks(is_arithmetic(name)) {
            wrong.push(format!("{name}: {:?} at {}", leak.kind, leak.text));
        }
        for callee in examined.unknown {
            wrong.push(format!("{name}: calls {callee}, which isn't known"));
        }
        queue.extend(examined.callees);
        read.insert(address, (name, examined.findings));
    }
    let sum = |count: fn(&Findings) -> usize| {
        read.values()
            .map(|(_, findings)| count(findings))
            .sum::<usize>()
    };
    if list {
        for (name, findings) in read.values() {
            let Findings {
                instructions,
                jumps,
                by_header,
                ..
            } = findings;
            println!(
                "       {instructions:5} instructions, {jumps:2} + {:2} jumps: {name}",
                by_header.len()
            );
        }
    }
    let details = format!(
        "{} functions, {} instructions; {} jumps on counters, {} decisions by lengths and pointers in memory, {} leaks",
        read.len(),
        sum(|findings| findings.instructions),
        sum(|findings| findings.jumps),
        sum(|findings| findings.by_header.len()),
        wrong.len(),
    );
    verdicts.line(
        "machine code of the AVX-512 backend",
        wrong.is_empty(),
        &details,
    );
    for wrong in wrong {
        println!("       {wrong}");
    }
    Ok(())
}

fn is_public(name: &str) -> bool {
    PUBLIC.iter().any(|public| {
        name.split(BACKEND).skip(1).any(|rest| {
            rest.split("::").any(|part| part.starts_with(public)) || rest.starts_with(public)
        })
    })
}

fn is_arithmetic(name: &str) -> bool {
    let modules = ARITHMETIC.map(|module| format!("{BACKEND}{module}"));
    modules.iter().any(|module| name.starts_with(module))
}

struct Examined {
    findings: Findings,
    /// Functions that are to be read too.
    callees: Vec<u64>,
    unknown: Vec<String>,
}

impl Examined {
    /// Lengths and pointers in memory may decide, but not in arithmetic.
    fn leaks(&self, arithmetic: bool) -> impl Iterator<Item = &Leak> {
        let by_header = self.findings.by_header.iter().filter(move |_| arithmetic);
        self.findings.leaks.iter().chain(by_header)
    }
}

/// Where a call or a jump out of a function leads.
enum Callee {
    Here(u64),
    Elsewhere(String),
}

fn examine(listing: &Listing, address: u64) -> Examined {
    let code = listing.instructions(address);
    let led = |instruction| leads_to(listing, instruction, address, &code).is_some();
    let callees: Vec<Callee> = code
        .iter()
        .filter_map(|instruction| leads_to(listing, instruction, address, &code))
        .collect();
    let findings = follow(&code, |instruction| {
        match leads_to(listing, instruction, address, &code) {
            Some(callee) => returns(&name_of(listing, &callee)),
            None => Returns::Value(Class::Header),
        }
    });
    let mut examined = Examined {
        findings,
        callees: Vec::new(),
        unknown: Vec::new(),
    };
    let read_before = code
        .iter()
        .any(|instruction| instruction.mnemonic == "mov" && led(instruction));
    for instruction in code.iter().filter(|code| code.mnemonic == "call") {
        let known = match instruction.operands.as_slice() {
            [
                Operand::Register(_)
                | Operand::Memory {
                    base: Some(RSP), ..
                },
            ] => read_before,
            _ => led(instruction),
        };
        if !known {
            examined.unknown.push(instruction.text.clone());
        }
    }
    for callee in callees {
        let name = name_of(listing, &callee);
        let starts = |names: &[&str]| names.iter().any(|start| plain(&name).starts_with(start));
        if starts(&DIVERGING) || is_trusted(&name) || name.contains(BACKEND) {
            continue;
        }
        match callee {
            // What the standard library makes of our types is code of ours.
            Callee::Here(address) if starts(&["alloc::", "core::"]) => {
                examined.callees.push(address)
            }
            _ => examined.unknown.push(name),
        }
    }
    examined
}

/// `<alloc::vec::Vec<T> as ...>::from_iter` begins with `alloc::`.
fn plain(name: &str) -> &str {
    name.trim_start_matches('<')
}

/// Wiping is also called by the name of what is wiped: `<(A,B,C) as zeroize::Zeroize>::zeroize`.
fn is_trusted(name: &str) -> bool {
    name.contains(" as zeroize::") || TRUSTED.iter().any(|start| plain(name).starts_with(start))
}

fn name_of(listing: &Listing, callee: &Callee) -> String {
    match callee {
        Callee::Here(address) => listing.name(*address).unwrap_or("?").to_owned(),
        Callee::Elsewhere(name) => name.clone(),
    }
}

fn returns(name: &str) -> Returns {
    let starts = |names: &[&str]| names.iter().any(|start| plain(name).starts_with(start));
    if starts(&DIVERGING) {
        Returns::Nothing
    } else if is_trusted(name) {
        Returns::Value(Class::Public)
    } else if name.contains(BACKEND) {
        Returns::Value(Class::Data)
    } else {
        Returns::Value(Class::Header)
    }
}

/// `None` for what doesn't leave the function, or leaves it through a register: then a slot has been read
/// into it before, which counts as well.
fn leads_to(
    listing: &Listing,
    instruction: &Instruction,
    function: u64,
    code: &[Instruction],
) -> Option<Callee> {
    let end = code.last()?.address;
    match (
        instruction.mnemonic.as_str(),
        instruction.operands.as_slice(),
    ) {
        (_, [Operand::Target(target)]) if !(function..=end).contains(target) => {
            match listing.name(*target) {
                // Through the table of functions elsewhere.
                Some(name) if name.ends_with("@plt") => {
                    Some(Callee::Elsewhere(name.replace("@plt", "")))
                }
                _ => Some(Callee::Here(*target)),
            }
        }
        (
            "call" | "jmp",
            [
                Operand::Memory {
                    base: None,
                    index: None,
                    ..
                },
            ],
        )
        | (
            "mov",
            [
                Operand::Memory {
                    base: None,
                    index: None,
                    ..
                },
                Operand::Register(Register::General { .. }),
            ],
        ) => match listing.slot(instruction.refers_to?) {
            Some(Slot::Here(target)) if listing.name(*target).is_some() => {
                Some(Callee::Here(*target))
            }
            Some(Slot::Here(_)) | None => None,
            Some(Slot::Elsewhere(name)) => Some(Callee::Elsewhere(name.clone())),
        },
        _ => None,
    }
}
