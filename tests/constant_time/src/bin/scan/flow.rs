//! Follows values through one function: which jumps and which addresses can depend on a secret.
//!
//! A register or a slot of the stack holds one of three classes, and what is computed from several has the
//! greatest of theirs. Every way through the function is followed, until nothing changes any more.
//!
//! Taken for granted: what a function is given in registers, or on the stack, are pointers and lengths (how data
//! would have got there is found in its caller); what it keeps for itself on the stack isn't overwritten through a
//! pointer.

use std::collections::{HashMap, VecDeque};

use crate::{
    instruction::{Instruction, Operand, RSP, Register},
    state::{Class, State, Value},
};

/// What calls return.
pub enum Returns {
    Nothing,
    Value(Class),
}

/// What was found in a function.
#[derive(Default)]
pub struct Findings {
    pub instructions: usize,
    /// Conditional jumps on public values.
    pub jumps: usize,
    /// Jumps, addresses and divisions that depend on words behind pointers.
    pub by_header: Vec<Leak>,
    /// What mustn't be.
    pub leaks: Vec<Leak>,
}

pub struct Leak {
    pub kind: Kind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A jump on data.
    Jump,
    /// An address made of data.
    Address,
    /// Loads or stores whose addresses are in a vector.
    Gather,
    /// An instruction that takes longer for some operands.
    Latency,
    /// From a vector or a mask into a general register or the flags.
    Crossing,
}

/// Follows one function. `returns` tells what a call or a jump out of the function comes back with, if it does.
pub fn follow(code: &[Instruction], returns: impl Fn(&Instruction) -> Returns) -> Findings {
    let mut findings = Findings {
        instructions: code.len(),
        ..Findings::default()
    };
    let places: HashMap<u64, usize> = code
        .iter()
        .enumerate()
        .map(|(place, instruction)| (instruction.address, place))
        .collect();
    let mut states: Vec<Option<State>> = vec![None; code.len()];
    let mut entry = State::new(Class::Public, 0);
    while let Some(start) = states.iter().position(Option::is_none) {
        states[start] = Some(entry.clone());
        if is_padding(&code[start]) {
            continue;
        }
        let mut queue = VecDeque::from([start]);
        while let Some(place) = queue.pop_front() {
            let Some(mut state) = states[place].clone() else {
                continue;
            };
            let instruction = &code[place];
            let mut next = Vec::new();
            let goes_on = step(&mut state, instruction, &returns);
            if goes_on && place + 1 < code.len() {
                next.push(place + 1);
            }
            if instruction.mnemonic.starts_with('j')
                && let Some(Operand::Target(target)) = instruction.operands.first()
            {
                next.extend(places.get(target));
            }
            for place in next {
                let changed = match &mut states[place] {
                    Some(known) => known.join(&state),
                    unknown => {
                        *unknown = Some(state.clone());
                        true
                    }
                };
                if changed {
                    queue.push_back(place);
                }
            }
        }
        // What no way leads to is where a panic goes on.
        entry = State::new(Class::Header, 1);
    }
    for (instruction, state) in code.iter().zip(&states) {
        if let Some(state) = state {
            judge(instruction, state, &mut findings);
        }
    }
    findings
}

/// Aligns what follows, and is jumped over.
fn is_padding(instruction: &Instruction) -> bool {
    let text = instruction.text.as_str();
    text.contains("nop") || matches!(text, "int3" | "xchg   %ax,%ax")
}

/// Bytes that an instruction moves to or from memory, by its other operand.
fn bytes(instruction: &Instruction) -> u8 {
    let of_register = instruction
        .operands
        .iter()
        .rev()
        .find_map(|operand| match operand {
            Operand::Register(Register::General { bytes, .. } | Register::Vector { bytes, .. }) => {
                Some(*bytes)
            }
            _ => None,
        });
    let mnemonic = instruction.mnemonic.as_str();
    let extended = |letter| {
        ["movz", "movs"].iter().any(|prefix| {
            mnemonic
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(letter))
        })
    };
    match of_register {
        _ if extended('b') => 1,
        _ if extended('w') => 2,
        Some(16) if mnemonic.ends_with("movq") || mnemonic.ends_with("movsd") => 8,
        Some(16) if mnemonic.ends_with("movd") || mnemonic.ends_with("movss") => 4,
        Some(bytes) => bytes,
        None if mnemonic.ends_with('b') => 1,
        None if mnemonic.ends_with('w') => 2,
        None if mnemonic.ends_with('l') => 4,
        None => 8,
    }
}

/// Tells whether what follows is reached.
fn step(
    state: &mut State,
    instruction: &Instruction,
    returns: impl Fn(&Instruction) -> Returns,
) -> bool {
    let mnemonic = instruction.mnemonic.as_str();
    let operands = instruction.operands.as_slice();
    let bytes = bytes(instruction);
    if mnemonic.starts_with("call") {
        let Returns::Value(class) = returns(instruction) else {
            return false;
        };
        for number in [0, 1, 2, 6, 7, 8, 9, 10, 11] {
            state.general[number] = Value::Of(class);
        }
        state.vectors = [Class::Data; 32];
        state.flags = Class::Public;
        return true;
    }
    match (mnemonic, operands) {
        ("jmp" | "ud2" | "ret" | "hlt" | "int3", _) => return false,
        _ if mnemonic.starts_with('j') || mnemonic.starts_with("nop") => {}
        ("push", [value]) => {
            let value = state.read(value, 8);
            move_stack(state, -8);
            state.store(&top(), 8, value);
        }
        ("pop", [to]) => {
            let value = state.load(&top(), 8);
            state.write(to, 8, value);
            move_stack(state, 8);
        }
        ("lea", [Operand::Memory { .. }, to]) => {
            let value = match state.address(&operands[0]) {
                (Some(Value::Stack(frame, at)), None, displacement) => {
                    Value::Stack(frame, at + displacement)
                }
                (base, index, _) => {
                    let classes = [base, index].into_iter().flatten().map(Value::class);
                    Value::Of(classes.max().unwrap_or(Class::Public))
                }
            };
            state.write(to, 8, value);
        }
        (
            "add" | "sub",
            [
                Operand::Immediate,
                Operand::Register(Register::General { number: RSP, .. }),
            ],
        ) => {
            // How far is in the text only.
            let amount = immediate(&instruction.text);
            move_stack(state, if mnemonic == "add" { amount } else { -amount });
            state.flags = Class::Public;
        }
        (
            "and",
            [
                Operand::Immediate,
                Operand::Register(Register::General { number: RSP, .. }),
            ],
        ) => {
            state.general[RSP] = Value::Stack(2, 0);
            state.flags = Class::Public;
        }
        (
            "cmp" | "cmpq" | "cmpl" | "cmpb" | "cmpw" | "test" | "testq" | "testl" | "testb"
            | "testw" | "bt",
            _,
        ) => {
            state.flags = greatest(state, operands, bytes);
        }
        _ if mnemonic.starts_with("set") => {
            let flags = Value::Of(state.flags);
            state.write(&operands[0], 1, flags);
        }
        _ if mnemonic.starts_with("cmov") => {
            let value = Value::Of(greatest(state, operands, bytes).max(state.flags));
            state.write(&operands[1], bytes, value);
        }
        // A value moves as it is, into a slot of its own or a vector.
        (_, [from, to]) if mnemonic.starts_with("mov") || mnemonic.starts_with("vmov") => {
            let value = state.read(from, bytes);
            state.write(to, bytes, value);
        }
        // The same with itself is nothing.
        ("xor" | "sub" | "xorps" | "pxor", [from, to]) if from == to => {
            state.write(to, bytes, Value::Of(Class::Public));
            if matches!(to, Operand::Register(Register::General { .. })) {
                state.flags = Class::Public;
            }
        }
        ("vxorps" | "vpxor" | "vpxord" | "vpxorq", [one, other, to]) if one == other => {
            state.write(to, bytes, Value::Of(Class::Public));
        }
        ("mul" | "div" | "idiv" | "imul", [from]) => {
            let value = state.read(from, bytes).join(state.general[0]);
            let value = Value::Of(value.class());
            state.general[0] = value;
            state.general[2] = value;
            state.flags = value.class();
        }
        ("mulx", [from, low, high]) => {
            let class = state
                .read(from, bytes)
                .class()
                .max(state.general[2].class());
            state.write(low, bytes, Value::Of(class));
            state.write(high, bytes, Value::Of(class));
        }
        ("cqto" | "cltd", _) => state.general[2] = state.general[0],
        (_, [.., to]) => {
            let carried = matches!(mnemonic, "adc" | "sbb" | "rcl" | "rcr" | "adcx" | "adox");
            let mut class = greatest(state, operands, bytes);
            if carried {
                class = class.max(state.flags);
            }
            // A mask decides on lanes.
            if instruction.text.contains("{%k") {
                class = Class::Data;
            }
            let general = operands.iter().all(|operand| {
                !matches!(
                    operand,
                    Operand::Register(Register::Vector { .. } | Register::Mask(_))
                )
            });
            state.write(to, bytes, Value::Of(class));
            if general
                && !matches!(
                    mnemonic,
                    "not" | "bswap" | "shlx" | "shrx" | "sarx" | "rorx"
                )
            {
                state.flags = class;
            }
        }
        _ => {}
    }
    true
}

fn top() -> Operand {
    Operand::Memory {
        displacement: 0,
        base: Some(RSP),
        index: None,
        scaled: false,
    }
}

fn move_stack(state: &mut State, by: i64) {
    if let Value::Stack(frame, at) = state.general[RSP] {
        state.general[RSP] = Value::Stack(frame, at + by);
    }
}

/// The first operand of `sub    $0x858,%rsp`.
fn immediate(text: &str) -> i64 {
    let digits = text
        .split('$')
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let digits = digits.unwrap_or_default();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, digits),
    };
    let digits = digits.trim_start_matches("0x");
    let number = u64::from_str_radix(digits, 16).unwrap_or(0);
    sign * number.cast_signed()
}

fn greatest(state: &State, operands: &[Operand], bytes: u8) -> Class {
    let classes = operands
        .iter()
        .map(|operand| state.read(operand, bytes).class());
    classes.max().unwrap_or(Class::Public)
}

fn judge(instruction: &Instruction, state: &State, findings: &mut Findings) {
    let mut found = |kind, class| {
        let leak = Leak {
            kind,
            text: format!("{:x}: {}", instruction.address, instruction.text),
        };
        match class {
            Class::Public => {}
            Class::Header => findings.by_header.push(leak),
            Class::Data => findings.leaks.push(leak),
        }
    };
    let mnemonic = instruction.mnemonic.as_str();
    let plain = mnemonic.strip_prefix('v').unwrap_or(mnemonic);
    let starts = |names: &[&str]| names.iter().any(|name| plain.starts_with(name));
    if plain.contains("gather") || plain.contains("scatter") {
        found(Kind::Gather, Class::Data);
    }
    if starts(&["div", "idiv", "sqrt", "pdep", "pext "]) {
        // The dividend isn't written down: it is in the first and the third register.
        let dividend = state.general[0].class().max(state.general[2].class());
        let named = greatest(state, &instruction.operands, bytes(instruction));
        found(Kind::Latency, named.max(dividend));
    }
    // Microcoded: how much there is to do, a mask decides.
    if starts(&["pcompress", "pexpand", "compressp", "expandp"]) {
        found(Kind::Latency, Class::Data);
    }
    if starts(&["kortest", "ktest", "comis", "ucomis", "testps", "testpd"]) || plain == "ptest" {
        found(Kind::Crossing, Class::Data);
    }
    if let [from @ .., Operand::Register(Register::General { .. })] =
        instruction.operands.as_slice()
        && from.iter().any(|operand| {
            matches!(
                operand,
                Operand::Register(Register::Vector { .. } | Register::Mask(_))
            )
        })
    {
        found(Kind::Crossing, Class::Data);
    }
    // What `lea` and `nop` compute is no access.
    if mnemonic != "lea" && !is_padding(instruction) {
        for operand in &instruction.operands {
            found(Kind::Address, address_class(state, operand));
        }
    }
    if mnemonic.starts_with("jmp") && matches!(instruction.operands[..], [Operand::Register(_)]) {
        found(Kind::Jump, Class::Data);
    }
    if instruction.is_conditional_jump() {
        findings.jumps += usize::from(state.flags == Class::Public);
        found(Kind::Jump, state.flags);
    }
}

/// A word behind a pointer may well be another pointer, but as the number of an item it is a digit.
fn address_class(state: &State, operand: &Operand) -> Class {
    let (base, index, _) = state.address(operand);
    let scaled = matches!(operand, Operand::Memory { scaled: true, .. });
    let class = |value: Option<Value>| value.map_or(Class::Public, Value::class);
    match (class(base), class(index)) {
        (Class::Data, _) | (_, Class::Data) => Class::Data,
        (_, Class::Header) if scaled => Class::Header,
        _ => Class::Public,
    }
}
