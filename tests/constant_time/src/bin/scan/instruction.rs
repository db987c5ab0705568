//! One line of a disassembly, in AT&T syntax: the last operand is the one that is written.

/// An instruction.
pub struct Instruction {
    pub address: u64,
    pub mnemonic: String,
    pub operands: Vec<Operand>,
    /// What an operand relative to the program counter refers to.
    pub refers_to: Option<u64>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Immediate,
    Register(Register),
    /// `%fs:` and the program counter count as public bases.
    Memory {
        displacement: i64,
        base: Option<usize>,
        index: Option<usize>,
        /// The index counts items of more than a byte.
        scaled: bool,
    },
    /// Where a jump or a call leads.
    Target(u64),
    Other,
}

/// A register by its kind and number. Parts of a general register are the register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Register {
    General { number: usize, bytes: u8 },
    Vector { number: usize, bytes: u8 },
    Mask(usize),
    Other,
}

pub const RSP: usize = 4;

const NAMES: [[&str; 4]; 8] = [
    ["rax", "eax", "ax", "al"],
    ["rcx", "ecx", "cx", "cl"],
    ["rdx", "edx", "dx", "dl"],
    ["rbx", "ebx", "bx", "bl"],
    ["rsp", "esp", "sp", "spl"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
];

impl Register {
    fn parse(name: &str) -> Self {
        for (number, names) in NAMES.iter().enumerate() {
            for (name_of_width, bytes) in names.iter().zip([8, 4, 2, 1]) {
                if name == *name_of_width {
                    return Self::General { number, bytes };
                }
            }
        }
        if let Some(number) = ["ah", "ch", "dh", "bh"]
            .iter()
            .position(|high| name == *high)
        {
            return Self::General { number, bytes: 1 };
        }
        if let Some(rest) = name.strip_prefix('r') {
            let digits = rest.trim_end_matches(['d', 'w', 'b']);
            let bytes = match &rest[digits.len()..] {
                "d" => 4,
                "w" => 2,
                "b" => 1,
                _ => 8,
            };
            if let Ok(number) = digits.parse() {
                return Self::General { number, bytes };
            }
        }
        for (prefix, bytes) in [("xmm", 16), ("ymm", 32), ("zmm", 64)] {
            if let Some(Ok(number)) = name.strip_prefix(prefix).map(str::parse) {
                return Self::Vector { number, bytes };
            }
        }
        match name.strip_prefix('k').map(str::parse) {
            Some(Ok(number)) => Self::Mask(number),
            _ => Self::Other,
        }
    }
}

impl Instruction {
    /// An address, a colon and a tab, then the code, then what it refers to: `mov    0x8(%rdi),%rax        # 14db90 <name>`
    pub fn parse(line: &str) -> Option<Self> {
        let (address, code) = line.split_once(":\t")?;
        let address = u64::from_str_radix(address.trim(), 16).ok()?;
        let (code, refers_to) = match code.split_once(" # ") {
            Some((code, comment)) => (
                code.trim_end(),
                u64::from_str_radix(comment.split_whitespace().next()?, 16).ok(),
            ),
            None => (code.trim_end(), None),
        };
        let mut rest = code;
        let mut mnemonic = "";
        // Prefixes that change nothing here.
        while let Some(word) = rest.split_whitespace().next() {
            rest = rest.trim_start()[word.len()..].trim_start();
            mnemonic = word;
            if !matches!(
                word,
                "notrack" | "cs" | "data16" | "bnd" | "rep" | "repz" | "lock"
            ) {
                break;
            }
        }
        let operands = if is_transfer(mnemonic) {
            vec![target(rest)]
        } else {
            split(rest).into_iter().map(operand).collect()
        };
        Some(Self {
            address,
            mnemonic: mnemonic.to_owned(),
            operands,
            refers_to,
            text: code.to_owned(),
        })
    }

    pub fn is_conditional_jump(&self) -> bool {
        self.mnemonic.starts_with('j') && !self.mnemonic.starts_with("jmp")
            || self.mnemonic.starts_with("loop")
    }
}

fn is_transfer(mnemonic: &str) -> bool {
    mnemonic.starts_with('j') || mnemonic.starts_with("call") || mnemonic.starts_with("loop")
}

fn target(text: &str) -> Operand {
    if let Some(indirect) = text.strip_prefix('*') {
        return operand(indirect);
    }
    let address = text.split_whitespace().next().unwrap_or_default();
    u64::from_str_radix(address, 16).map_or(Operand::Other, Operand::Target)
}

/// At the commas outside brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

fn operand(text: &str) -> Operand {
    // A mask or a broadcast behind it.
    let text = text.split('{').next().unwrap_or_default().trim();
    if text.starts_with('$') {
        return Operand::Immediate;
    }
    if let Some(name) = text.strip_prefix('%')
        && !text.contains(':')
    {
        return Operand::Register(Register::parse(name));
    }
    let text = text.split_once(':').map_or(text, |(_, address)| address);
    let (displacement, registers) = text.split_once('(').unwrap_or((text, ")"));
    let registers = registers.trim_end_matches(')');
    let scaled = matches!(registers.rsplit(',').next(), Some("2" | "4" | "8"));
    let mut registers = registers.split(',').map(|name| {
        match Register::parse(name.trim().trim_start_matches('%')) {
            Register::General { number, .. } => Some(number),
            _ => None,
        }
    });
    let (sign, digits) = match displacement.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, displacement),
    };
    let displacement = i64::from_str_radix(digits.trim_start_matches("0x"), 16).unwrap_or(0);
    Operand::Memory {
        displacement: sign * displacement,
        base: registers.next().flatten(),
        index: registers.next().flatten(),
        scaled,
    }
}
