//! Merkle roots: RFC 9162, section 2.1.1, with SHA-256.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::format::BLOCK;

/// The root over leaves that come one by one. Holds one hash for each level.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The roots of the full subtrees so far, largest first, with their heights.
    subtrees: Vec<(u32, [u8; 32])>,
}

impl Tree {
    /// The root over bytes cut into blocks.
    pub(super) fn root_of_blocks(bytes: &[u8]) -> [u8; 32] {
        let mut tree = Self::default();
        bytes
            .chunks(BLOCK)
            .for_each(|block| tree.push(leaf_hash(block)));
        tree.root()
    }

    /// The root over leaves of which the hashes follow each other.
    pub(super) fn root_of_hashes(hashes: &[u8]) -> [u8; 32] {
        let mut tree = Self::default();
        hashes
            .as_chunks()
            .0
            .iter()
            .for_each(|hash| tree.push(*hash));
        tree.root()
    }

    pub(super) fn push(&mut self, leaf_hash: [u8; 32]) {
        let mut root = leaf_hash;
        let mut height = 0;
        while let Some((_, left)) = self.subtrees.pop_if(|(left, _)| *left == height) {
            root = node(&left, &root);
            height += 1;
        }
        self.subtrees.push((height, root));
    }

    /// The hash of nothing if there were no leaves.
    pub(super) fn root(mut self) -> [u8; 32] {
        let Some((_, mut root)) = self.subtrees.pop() else {
            return Sha256::digest([]).into();
        };
        while let Some((_, left)) = self.subtrees.pop() {
            root = node(&left, &root);
        }
        root
    }
}

pub(super) fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix([0]);
    hash.update(leaf);
    hash.finalize().into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of the RFC, word by word.
    fn by_definition(leaves: &[[u8; 4]]) -> [u8; 32] {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => Sha256::digest([&[0], leaf.as_slice()].concat()).into(),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition() {
        for count in 0..40_u32 {
            let leaves: Vec<[u8; 4]> = (0..count).map(u32::to_be_bytes).collect();
            let mut tree = Tree::default();
            leaves.iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
            assert_eq!(tree.root(), by_definition(&leaves), "{count}");
        }
    }
}
