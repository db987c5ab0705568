//! What `objdump` says of a program: its functions, and where its pointers to functions lead.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    path::Path,
    process::Command,
};

use crate::instruction::Instruction;

/// A disassembled program.
pub struct Listing {
    text: String,
    /// Where each function begins in memory: its name and its lines.
    functions: BTreeMap<u64, (String, std::ops::Range<usize>)>,
    /// What the loader writes into a slot: the name of a function elsewhere, or an address here.
    slots: HashMap<u64, Slot>,
}

#[derive(Clone)]
pub enum Slot {
    Here(u64),
    Elsewhere(String),
}

impl Listing {
    pub fn of(program: &Path) -> Result<Self, Box<dyn Error>> {
        let text = objdump(&["-d", "-C", "--no-show-raw-insn"], program)?;
        let mut functions = BTreeMap::new();
        let mut open: Option<(u64, String, usize)> = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if let Some((address, name)) = header(line.trim_end()) {
                if let Some((address, name, start)) = open.take() {
                    functions.insert(address, (name, start..at));
                }
                open = Some((address, name.to_owned(), at + line.len()));
            }
            at += line.len();
        }
        if let Some((address, name, start)) = open {
            functions.insert(address, (name, start..at));
        }
        let relocations = objdump(&["-R", "-C"], program)?;
        let slots = relocations.lines().filter_map(relocation).collect();
        Ok(Self {
            text,
            functions,
            slots,
        })
    }

    pub fn functions(&self) -> impl Iterator<Item = (u64, &str)> {
        self.functions
            .iter()
            .map(|(address, (name, _))| (*address, name.as_str()))
    }

    pub fn name(&self, address: u64) -> Option<&str> {
        self.functions.get(&address).map(|(name, _)| name.as_str())
    }

    pub fn slot(&self, address: u64) -> Option<&Slot> {
        self.slots.get(&address)
    }

    pub fn instructions(&self, function: u64) -> Vec<Instruction> {
        let Some((_, lines)) = self.functions.get(&function) else {
            return Vec::new();
        };
        self.text[lines.clone()]
            .lines()
            .filter_map(Instruction::parse)
            .collect()
    }
}

fn objdump(arguments: &[&str], program: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new("objdump")
        .args(arguments)
        .arg(program)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// `0000000000721c60 <name>:`
fn header(line: &str) -> Option<(u64, &str)> {
    let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

/// `0000000000eeb9d0 R_X86_64_RELATIVE  *ABS*+0x0000000000df5c80`
fn relocation(line: &str) -> Option<(u64, Slot)> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let kind = words.next()?;
    let value = words.next()?;
    let slot = match value.strip_prefix("*ABS*+0x") {
        Some(target) => Slot::Here(u64::from_str_radix(target, 16).ok()?),
        None if kind.starts_with("R_") => {
            let name = value.split(['@', '+']).next()?;
            Slot::Elsewhere(name.to_owned())
        }
        None => return None,
    };
    Some((address, slot))
}
