//! What is known of the registers and the stack at one place of a function.

use std::collections::BTreeMap;

use crate::instruction::{Operand, RSP, Register};

/// How secret a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Constants, arguments in registers, and what is computed from them alone.
    Public,
    /// A whole word at a fixed place behind a pointer: as a rule a pointer or a length.
    Header,
    /// Everything else in memory, in vectors and in masks.
    Data,
}

/// What a register or a slot holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Of(Class),
    /// An address on the stack: which frame, and where in it.
    Stack(u8, i64),
}

/// Slots are known by their frame and place; a frame begins where the stack pointer is set.
#[derive(Clone, PartialEq)]
pub struct State {
    pub general: [Value; 16],
    pub vectors: [Class; 32],
    pub flags: Class,
    slots: BTreeMap<(u8, i64), Value>,
}

impl Value {
    pub fn class(self) -> Class {
        match self {
            Self::Of(class) => class,
            Self::Stack(..) => Class::Public,
        }
    }

    pub fn join(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        Self::Of(self.class().max(other.class()))
    }
}

impl State {
    pub fn new(class: Class, frame: u8) -> Self {
        let mut general = [Value::Of(class); 16];
        general[RSP] = Value::Stack(frame, 0);
        Self {
            general,
            vectors: [Class::Data; 32],
            flags: class,
            slots: BTreeMap::new(),
        }
    }

    /// Tells whether anything changed.
    pub fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for (value, other) in self.general.iter_mut().zip(other.general) {
            *value = value.join(other);
        }
        for (class, other) in self.vectors.iter_mut().zip(other.vectors) {
            *class = (*class).max(other);
        }
        self.flags = self.flags.max(other.flags);
        let places: Vec<(u8, i64)> = self
            .slots
            .keys()
            .chain(other.slots.keys())
            .copied()
            .collect();
        for place in places {
            let joined = self.slot(place).join(other.slot(place));
            self.slots.insert(place, joined);
        }
        *self != before
    }

    /// What nobody wrote here, a callee wrote, to whom its address was given; or it is an argument.
    fn slot(&self, place: (u8, i64)) -> Value {
        let argument = place.0 == 0 && place.1 > 0;
        let unknown = Value::Of(if argument {
            Class::Public
        } else {
            Class::Header
        });
        self.slots.get(&place).copied().unwrap_or(unknown)
    }

    pub fn address(&self, memory: &Operand) -> (Option<Value>, Option<Value>, i64) {
        let Operand::Memory {
            displacement,
            base,
            index,
            ..
        } = memory
        else {
            return (None, None, 0);
        };
        let register = |number: &Option<usize>| number.map(|number| self.general[number]);
        (register(base), register(index), *displacement)
    }

    pub fn load(&self, memory: &Operand, bytes: u8) -> Value {
        match self.address(memory) {
            (None, None, _) => Value::Of(Class::Public),
            (Some(Value::Stack(frame, at)), None, displacement) => {
                let at = at + displacement;
                if bytes <= 8 {
                    return self.slot((frame, at));
                }
                let words = (0..i64::from(bytes) / 8).map(|word| self.slot((frame, at + 8 * word)));
                Value::Of(words.map(Value::class).max().unwrap_or(Class::Data))
            }
            (Some(_), None, _) if bytes == 8 || bytes == 16 => Value::Of(Class::Header),
            _ => Value::Of(Class::Data),
        }
    }

    pub fn store(&mut self, memory: &Operand, bytes: u8, value: Value) {
        if let (Some(Value::Stack(frame, at)), None, displacement) = self.address(memory) {
            let at = at + displacement;
            for word in 0..i64::from(bytes).div_euclid(8).max(1) {
                self.slots.insert((frame, at + 8 * word), value);
            }
        }
    }

    pub fn read(&self, operand: &Operand, bytes: u8) -> Value {
        match operand {
            Operand::Register(Register::General { number, .. }) => self.general[*number],
            Operand::Register(Register::Vector { number, .. }) => Value::Of(self.vectors[*number]),
            Operand::Register(_) => Value::Of(Class::Data),
            Operand::Memory { .. } => self.load(operand, bytes),
            _ => Value::Of(Class::Public),
        }
    }

    pub fn write(&mut self, operand: &Operand, bytes: u8, value: Value) {
        match operand {
            Operand::Register(Register::General { number, .. }) => self.general[*number] = value,
            Operand::Register(Register::Vector { number, .. }) => {
                self.vectors[*number] = value.class();
            }
            Operand::Memory { .. } => self.store(operand, bytes, value),
            _ => {}
        }
    }
}
