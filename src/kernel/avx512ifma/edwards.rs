//! Eight points of the twisted Edwards curve `-x^2 + y^2 = 1 + d x^2 y^2`, by the complete formulas of
//! Hisil, Wong, Carter and Dawson (2008): no case apart, so nothing to branch on.
//!
//! Carries are paid once a value: sums and differences are taken of unreduced products.

use zeroize::Zeroize;

use super::field::{Constant, Mask, Reduced};

/// `d = -121665/121666`.
pub(super) const D: Constant = Constant([
    0x34dca135978a3,
    0x1a8283b156ebd,
    0x5e7a26001c029,
    0x739c663a03cbb,
    0x52036cee2b6ff,
]);

/// `2d`.
const D2: Constant = Constant([
    0x69b9426b2f159,
    0x35050762add7a,
    0x3cf44c0038052,
    0x6738cc7407977,
    0x2406d9dc56dff,
]);

/// `(X : Y : Z : T)` with `x = X/Z`, `y = Y/Z`, `T = XY/Z`.
#[derive(Clone, Copy)]
pub(super) struct Extended {
    pub(super) x: Reduced,
    pub(super) y: Reduced,
    pub(super) z: Reduced,
    pub(super) t: Reduced,
}

/// `(X : Y : Z)`: all that a doubling needs.
#[derive(Clone, Copy)]
pub(super) struct Projective {
    x: Reduced,
    y: Reduced,
    z: Reduced,
}

/// What every formula ends in: `X = E*F`, `Y = G*H`, `Z = F*G`, `T = E*H`.
#[derive(Clone, Copy)]
pub(super) struct Completed {
    pub(super) e: Reduced,
    pub(super) f: Reduced,
    pub(super) g: Reduced,
    pub(super) h: Reduced,
}

/// A point prepared for being added: `(Y + X, Y - X, Z, 2dT)`.
#[derive(Clone, Copy)]
pub(super) struct ProjectiveNiels {
    pub(super) y_plus_x: Reduced,
    pub(super) y_minus_x: Reduced,
    pub(super) z: Reduced,
    pub(super) t2d: Reduced,
}

/// The same with `Z = 1`: `(y + x, y - x, 2dxy)`.
#[derive(Clone, Copy)]
pub(super) struct AffineNiels {
    pub(super) y_plus_x: Reduced,
    pub(super) y_minus_x: Reduced,
    pub(super) t2d: Reduced,
}

impl Extended {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn identity() -> Self {
        Self {
            x: Reduced::zero(),
            y: Reduced::one(),
            z: Reduced::one(),
            t: Reduced::zero(),
        }
    }

    #[inline]
    pub(super) fn projective(&self) -> Projective {
        Projective {
            x: self.x,
            y: self.y,
            z: self.z,
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn projective_niels(&self) -> ProjectiveNiels {
        ProjectiveNiels {
            y_plus_x: self.y.plus(self.x),
            y_minus_x: self.y.minus(self.x),
            z: self.z,
            t2d: self.t.times(Reduced::splat(D2)),
        }
    }

    /// Divides by `Z`, given its inverse.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn affine_niels(&self, z_inverse: Reduced) -> AffineNiels {
        let x = self.x.times(z_inverse);
        let y = self.y.times(z_inverse);
        AffineNiels {
            y_plus_x: y.plus(x),
            y_minus_x: y.minus(x),
            t2d: x.times(y).times(Reduced::splat(D2)),
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn double(&self) -> Completed {
        self.projective().double()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn add(&self, other: &ProjectiveNiels) -> Completed {
        let a = self.y.minus(self.x).multiply(other.y_minus_x);
        let b = self.y.plus(self.x).multiply_raised::<11>(other.y_plus_x);
        let c = self.t.multiply(other.t2d);
        let d = self.z.multiply_raised::<10>(other.z).twice();
        Completed {
            e: b.subtract(a).reduce(),
            f: d.subtract(c).reduce(),
            g: d.unreduced().add(c).reduce(),
            h: b.unreduced().add(a).reduce(),
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn add_affine(&self, other: &AffineNiels) -> Completed {
        let a = self.y.minus(self.x).multiply(other.y_minus_x);
        let b = self.y.plus(self.x).multiply_raised::<11>(other.y_plus_x);
        let c = self.t.multiply(other.t2d);
        let d = self.z.unreduced().twice();
        Completed {
            e: b.subtract(a).reduce(),
            f: d.subtract(c).reduce(),
            g: d.add(c).reduce(),
            h: b.unreduced().add(a).reduce(),
        }
    }

    /// Takes `other` in the lanes of the mask.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn select(&self, mask: Mask, other: &Self) -> Self {
        Self {
            x: self.x.select(mask, other.x),
            y: self.y.select(mask, other.y),
            z: self.z.select(mask, other.z),
            t: self.t.select(mask, other.t),
        }
    }
}

impl Projective {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn double(&self) -> Completed {
        let xx = self.x.square();
        let yy = self.y.square_raised::<11>();
        let zz = self.z.square_raised::<11>();
        let xy = self.x.multiply(self.y);
        // 2 Z^2 - (Y^2 - X^2), which is raised itself, hence the greater raise.
        let g = yy.subtract(xx);
        Completed {
            e: xy.twice().reduce(),
            f: zz.twice().subtract(g).reduce(),
            g: g.reduce(),
            h: yy.unreduced().add(xx).reduce(),
        }
    }
}

impl Completed {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn extended(&self) -> Extended {
        Extended {
            x: self.e.times(self.f),
            y: self.g.times(self.h),
            z: self.f.times(self.g),
            t: self.e.times(self.h),
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn projective(&self) -> Projective {
        Projective {
            x: self.e.times(self.f),
            y: self.g.times(self.h),
            z: self.f.times(self.g),
        }
    }
}

impl ProjectiveNiels {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn negate_if(&self, mask: Mask) -> Self {
        Self {
            y_plus_x: self.y_plus_x.select(mask, self.y_minus_x),
            y_minus_x: self.y_minus_x.select(mask, self.y_plus_x),
            z: self.z,
            t2d: self.t2d.negate_if(mask),
        }
    }
}

impl AffineNiels {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn negate_if(&self, mask: Mask) -> Self {
        Self {
            y_plus_x: self.y_plus_x.select(mask, self.y_minus_x),
            y_minus_x: self.y_minus_x.select(mask, self.y_plus_x),
            t2d: self.t2d.negate_if(mask),
        }
    }
}

impl Zeroize for Extended {
    fn zeroize(&mut self) {
        for coordinate in [&mut self.x, &mut self.y, &mut self.z, &mut self.t] {
            coordinate.zeroize();
        }
    }
}

impl Zeroize for Completed {
    fn zeroize(&mut self) {
        for factor in [&mut self.e, &mut self.f, &mut self.g, &mut self.h] {
            factor.zeroize();
        }
    }
}
