//! Syntax errors in our own words, since the parser's messages may quote the text.

use granit_parser::ErrorKind;

/// Describes the error without any part of the text.
pub(crate) fn of(kind: &ErrorKind) -> &'static str {
    use ErrorKind as E;
    match kind {
        E::UnexpectedEofFlowSequence
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping
        | E::UnclosedFlowCollection { .. } => "invalid YAML: a bracket is not closed",
        E::UnexpectedEofBlockSequence | E::UnexpectedEofBlockMapping | E::UnexpectedEof => {
            "invalid YAML: the text ends too early"
        }
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => "invalid YAML: a quote is not closed",
        E::MisplacedFlowCollectionEnd | E::MismatchedFlowCollectionEnd { .. } => {
            "invalid YAML: a closing bracket without its opening one"
        }
        E::ExpectedFlowMappingSeparator => "invalid YAML: expected ',' or '}'",
        E::ExpectedFlowSequenceSeparator => "invalid YAML: expected ',' or ']'",
        E::ExpectedBlockMappingKey => "invalid YAML: did not find expected key",
        E::ExpectedBlockSequenceEntry => "invalid YAML: did not find expected '-'",
        E::ExpectedNodeContent => "invalid YAML: did not find expected content",
        E::SimpleKeyExpected | E::InvalidSimpleKey => "invalid YAML: could not find expected ':'",
        E::MappingValueNotAllowed | E::InvalidColonPlacement => "invalid YAML: mapping values are not allowed here",
        E::MappingKeyNotAllowed => "invalid YAML: mapping keys are not allowed here",
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            "invalid YAML: block sequence entries are not allowed here"
        }
        E::UnexpectedCharacter { .. } => "invalid YAML: a character that cannot start a value (quote the value)",
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabAtBlockScalarStart
        | E::TabInIndentation
        | E::TabInPlainScalar => "invalid YAML: a tab where only spaces may stand",
        E::InvalidIndentation
        | E::InvalidBlockScalarIndent
        | E::InvalidQuotedScalarIndent
        | E::InvalidFlowScalarIndent => "invalid YAML: wrong indentation",
        E::ZeroBlockScalarIndent | E::InvalidBlockScalarHeader => "invalid YAML: a bad header of a block of text",
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => "invalid YAML: an unknown escape in double quotes",
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            "invalid YAML: text behind a closing quote"
        }
        E::CommentNotSeparated => "invalid YAML: a comment without a space before it",
        E::UnknownAnchor => "invalid YAML: an alias without an anchor before it",
        E::MissingAnchorOrAliasName => "invalid YAML: an anchor or alias without a name",
        E::UndeclaredTagHandle => "invalid YAML: a tag with an undeclared handle",
        E::ExpectedDocumentStart | E::MissingDocumentEndBeforeDirective => {
            "invalid YAML: a directive (%) without a document, or behind one"
        }
        E::UnsupportedYamlMajorVersion => "a %YAML directive asks for another version than 1.1",
        E::RecursionLimitExceeded => "maps and lists are nested too deeply",
        _ => "invalid YAML",
    }
}
