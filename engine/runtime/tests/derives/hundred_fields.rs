//! A state with a hundred fields: every one can be written, stored and cleared.
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wide {
    field_0: u32,
    field_1: Option<String>,
    #[reduce(append)]
    field_2: Vec<String>,
    #[reduce(sum)]
    field_3: u64,
    #[reduce(last)]
    field_4: String,
    field_5: u32,
    field_6: Option<String>,
    #[reduce(append)]
    field_7: Vec<String>,
    #[reduce(sum)]
    field_8: u64,
    #[reduce(last)]
    field_9: String,
    field_10: u32,
    field_11: Option<String>,
    #[reduce(append)]
    field_12: Vec<String>,
    #[reduce(sum)]
    field_13: u64,
    #[reduce(last)]
    field_14: String,
    field_15: u32,
    field_16: Option<String>,
    #[reduce(append)]
    field_17: Vec<String>,
    #[reduce(sum)]
    field_18: u64,
    #[reduce(last)]
    field_19: String,
    field_20: u32,
    field_21: Option<String>,
    #[reduce(append)]
    field_22: Vec<String>,
    #[reduce(sum)]
    field_23: u64,
    #[reduce(last)]
    field_24: String,
    field_25: u32,
    field_26: Option<String>,
    #[reduce(append)]
    field_27: Vec<String>,
    #[reduce(sum)]
    field_28: u64,
    #[reduce(last)]
    field_29: String,
    field_30: u32,
    field_31: Option<String>,
    #[reduce(append)]
    field_32: Vec<String>,
    #[reduce(sum)]
    field_33: u64,
    #[reduce(last)]
    field_34: String,
    field_35: u32,
    field_36: Option<String>,
    #[reduce(append)]
    field_37: Vec<String>,
    #[reduce(sum)]
    field_38: u64,
    #[reduce(last)]
    field_39: String,
    field_40: u32,
    field_41: Option<String>,
    #[reduce(append)]
    field_42: Vec<String>,
    #[reduce(sum)]
    field_43: u64,
    #[reduce(last)]
    field_44: String,
    field_45: u32,
    field_46: Option<String>,
    #[reduce(append)]
    field_47: Vec<String>,
    #[reduce(sum)]
    field_48: u64,
    #[reduce(last)]
    field_49: String,
    field_50: u32,
    field_51: Option<String>,
    #[reduce(append)]
    field_52: Vec<String>,
    #[reduce(sum)]
    field_53: u64,
    #[reduce(last)]
    field_54: String,
    field_55: u32,
    field_56: Option<String>,
    #[reduce(append)]
    field_57: Vec<String>,
    #[reduce(sum)]
    field_58: u64,
    #[reduce(last)]
    field_59: String,
    field_60: u32,
    field_61: Option<String>,
    #[reduce(append)]
    field_62: Vec<String>,
    #[reduce(sum)]
    field_63: u64,
    #[reduce(last)]
    field_64: String,
    field_65: u32,
    field_66: Option<String>,
    #[reduce(append)]
    field_67: Vec<String>,
    #[reduce(sum)]
    field_68: u64,
    #[reduce(last)]
    field_69: String,
    field_70: u32,
    field_71: Option<String>,
    #[reduce(append)]
    field_72: Vec<String>,
    #[reduce(sum)]
    field_73: u64,
    #[reduce(last)]
    field_74: String,
    field_75: u32,
    field_76: Option<String>,
    #[reduce(append)]
    field_77: Vec<String>,
    #[reduce(sum)]
    field_78: u64,
    #[reduce(last)]
    field_79: String,
    field_80: u32,
    field_81: Option<String>,
    #[reduce(append)]
    field_82: Vec<String>,
    #[reduce(sum)]
    field_83: u64,
    #[reduce(last)]
    field_84: String,
    field_85: u32,
    field_86: Option<String>,
    #[reduce(append)]
    field_87: Vec<String>,
    #[reduce(sum)]
    field_88: u64,
    #[reduce(last)]
    field_89: String,
    field_90: u32,
    field_91: Option<String>,
    #[reduce(append)]
    field_92: Vec<String>,
    #[reduce(sum)]
    field_93: u64,
    #[reduce(last)]
    field_94: String,
    field_95: u32,
    field_96: Option<String>,
    #[reduce(append)]
    field_97: Vec<String>,
    #[reduce(sum)]
    field_98: u64,
    #[reduce(last)]
    field_99: String,
}

#[test]
fn a_hundred_fields_can_be_written() {
    assert_eq!(Wide::SCHEMA.channels.len(), 100);
    let mut wide = Wide::default();
    let update = Wide::update().field_0(1u32).field_66("b").field_97("c").field_98(4u64).field_99("e");
    let mut written = Vec::new();
    update.written(&mut |index| written.push(index));
    assert_eq!(written, [0, 66, 97, 98, 99]);
    wide.apply(update);
    assert_eq!((wide.field_0, wide.field_66.as_deref(), wide.field_98), (1, Some("b"), 4));
    assert_eq!((wide.field_97, wide.field_99), (vec!["c".to_owned()], "e".to_owned()));
}
