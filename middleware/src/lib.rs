//! Layers for chappe.
