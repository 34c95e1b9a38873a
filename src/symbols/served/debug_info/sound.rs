//! Types that cannot be, because they contain themselves. A kernel has none; debuggers that meet one recurse until they
//! are out of stack.

use crate::symbols::types::Ref;
use crate::symbols::types::declared::{Declarations, Declared};

/// Types inside of types: a kernel has twenty.
const DEPTH: u8 = 200;
/// In place of a depth: the types inside are being looked at.
const OPEN: u8 = u8::MAX;

/// The types that are not to be told.
pub(super) struct Unsound(Vec<bool>);

impl Unsound {
    pub(super) fn contains(&self, ty: Ref) -> bool {
        usize::try_from(ty).ok().and_then(|ty| self.0.get(ty)).is_some_and(|unsound| *unsound)
    }
}

/// Which of the types, or of those inside them, contain themselves: as a part, or by pointers and functions with no
/// structure between.
pub(super) fn check(types: &dyn Declarations) -> Unsound {
    let count = usize::try_from(types.ids().end).unwrap_or(0);
    let mut unsound = Unsound(vec![false; count]);
    for inside in [parts, mentions] {
        let mut walk = Walk { types, inside, depths: vec![0; count], stack: Vec::new() };
        types.ids().for_each(|ty| walk.visit(ty, &mut unsound));
    }
    unsound
}

type Inside = fn(&dyn Declarations, Ref) -> Vec<Ref>;

/// The types that a type is made of.
fn parts(types: &dyn Declarations, ty: Ref) -> Vec<Ref> {
    match types.declared(ty) {
        Some(Declared::Composite { .. }) => {
            types.fields(ty).unwrap_or_default().iter().map(|field| field.ty).collect()
        }
        Some(Declared::Pointer { .. } | Declared::Function(_)) => Vec::new(),
        _ => mentions(types, ty),
    }
}

/// The types without which a type cannot be told; a structure's name is enough.
fn mentions(types: &dyn Declarations, ty: Ref) -> Vec<Ref> {
    match types.declared(ty) {
        Some(Declared::Pointer { to: of, .. } | Declared::Qualified(_, of) | Declared::Same(of)) => vec![of],
        Some(Declared::Typedef { of, .. } | Declared::Array { of, .. }) => vec![of],
        Some(Declared::Function(returns)) => {
            let mut all = types.parameters(ty);
            all.push(returns);
            all
        }
        _ => Vec::new(),
    }
}

struct Walk<'a> {
    types: &'a dyn Declarations,
    inside: Inside,
    /// How deep each type is, plus one; 0 if that is not known.
    depths: Vec<u8>,
    /// Types that are being looked at, what is inside and still to be seen, and the greatest depth so far.
    stack: Vec<(Ref, Vec<Ref>, u8)>,
}

impl Walk<'_> {
    fn visit(&mut self, ty: Ref, unsound: &mut Unsound) {
        self.open(ty);
        while let Some((ty, inside, _)) = self.stack.last_mut() {
            let ty = *ty;
            match inside.pop() {
                Some(next) => match self.depth(next) {
                    Some(0) => self.open(next),
                    Some(depth) => self.deepen(depth, unsound),
                    None => {}
                },
                None => {
                    let depth = self.stack.pop().map_or(0, |(_, _, depth)| depth + 1);
                    if let Some(known) = usize::try_from(ty).ok().and_then(|ty| self.depths.get_mut(ty)) {
                        *known = depth;
                    }
                    if !self.stack.is_empty() {
                        self.deepen(depth, unsound);
                    }
                }
            }
        }
    }

    fn depth(&self, ty: Ref) -> Option<u8> {
        self.depths.get(usize::try_from(ty).ok()?).copied()
    }

    fn open(&mut self, ty: Ref) {
        if let Some(depth @ 0) = usize::try_from(ty).ok().and_then(|ty| self.depths.get_mut(ty)) {
            *depth = OPEN;
            self.stack.push((ty, (self.inside)(self.types, ty), 0));
        }
    }

    /// Something of this depth is inside the type that is being looked at.
    fn deepen(&mut self, depth: u8, unsound: &mut Unsound) {
        let Some((ty, inside, deepest)) = self.stack.last_mut() else { return };
        if depth < DEPTH {
            *deepest = (*deepest).max(depth);
        } else if let Some(unsound) = usize::try_from(*ty).ok().and_then(|ty| unsound.0.get_mut(ty)) {
            *unsound = true;
            *deepest = 0;
            inside.clear();
        }
    }
}
