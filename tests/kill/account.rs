//! Who asks, by name, by credential and by the pseudonym that the store knows.

use aws_lc_rs::hmac;
use blindbook::server::quota::AccountKey;

use crate::service::{PEPPER, discover};

pub const COUNT: usize = 4;

pub struct Accounts(Vec<Account>);

pub struct Account {
    pub credential: String,
    pub key: AccountKey,
}

impl Accounts {
    pub fn new() -> Self {
        let accounts = (0..COUNT).map(|number| {
            let name = format!("account {number}");
            let pepper = hmac::Key::new(hmac::HMAC_SHA256, &PEPPER);
            let pseudonym = hmac::sign(&pepper, name.as_bytes());
            Account {
                credential: discover(&name).to_string(),
                key: AccountKey::new(pseudonym.as_ref().try_into().unwrap()),
            }
        });
        Self(accounts.collect())
    }

    pub fn get(&self, number: usize) -> &Account {
        &self.0[number]
    }
}
