//! The honest answer to an encrypted message: nobody on the SIP side could read it, and its sender is told so.
//!
//! OMEMO, OpenPGP and OTR end at the recipient's client, which is not an XMPP client here. Passing on the payload would be
//! gibberish; passing on the notice that stands in for it would tell the recipient that something is there and leave the
//! sender in the belief that it was read.

use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};

/// The refusal, in the sender's language where there is a text for it.
pub fn refusal(lang: Option<&str>) -> StanzaError {
    let primary = lang.and_then(|lang| lang.split('-').next()).unwrap_or_default();
    let known = TEXTS.into_iter().find(|(lang, _)| lang.eq_ignore_ascii_case(primary));
    let (lang, text) = known.unwrap_or(ENGLISH);
    StanzaError::new(ErrorType::Modify, StanzaCondition::NotAcceptable).with_text_in(lang, text)
}

const ENGLISH: (&str, &str) = (
    "en",
    "This contact cannot decrypt messages: he uses another system, reached through a gateway. The message was not \
     delivered. Turn off encryption for this contact and send it again.",
);

const TEXTS: [(&str, &str); 8] = [
    (
        "de",
        "Dieser Kontakt kann keine Nachrichten entschlüsseln: Er nutzt ein anderes System, das über ein Gateway erreicht \
         wird. Die Nachricht wurde nicht zugestellt. Schalten Sie die Verschlüsselung für diesen Kontakt aus und senden \
         Sie sie erneut.",
    ),
    (
        "fr",
        "Ce contact ne peut pas déchiffrer les messages : il utilise un autre système, relié par une passerelle. Le \
         message n’a pas été remis. Désactivez le chiffrement pour ce contact et renvoyez-le.",
    ),
    (
        "es",
        "Este contacto no puede descifrar mensajes: usa otro sistema, al que se llega por una pasarela. El mensaje no se \
         ha entregado. Desactive el cifrado para este contacto y envíelo de nuevo.",
    ),
    (
        "it",
        "Questo contatto non può decifrare i messaggi: usa un altro sistema, raggiunto tramite un gateway. Il messaggio \
         non è stato consegnato. Disattivare la cifratura per questo contatto e inviarlo di nuovo.",
    ),
    (
        "nl",
        "Dit contact kan berichten niet ontsleutelen: het gebruikt een ander systeem, dat via een gateway wordt bereikt. \
         Het bericht is niet afgeleverd. Zet versleuteling voor dit contact uit en verstuur het opnieuw.",
    ),
    (
        "pt",
        "Este contato não pode decifrar mensagens: usa outro sistema, alcançado por um gateway. A mensagem não foi \
         entregue. Desative a criptografia para este contato e envie-a novamente.",
    ),
    (
        "pl",
        "Ten kontakt nie może odszyfrować wiadomości: korzysta z innego systemu, połączonego przez bramę. Wiadomość nie \
         została dostarczona. Wyłącz szyfrowanie dla tego kontaktu i wyślij ją ponownie.",
    ),
    (
        "ru",
        "Этот контакт не может расшифровать сообщения: он пользуется другой системой, связанной через шлюз. Сообщение не \
         доставлено. Отключите шифрование для этого контакта и отправьте его снова.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: message.encrypted
    #[test]
    fn the_text_is_in_the_senders_language_where_there_is_one_and_else_in_english() {
        for (asked, expected) in
            [(Some("de-AT"), "de"), (Some("RU"), "ru"), (Some("tlh"), "en"), (Some(""), "en"), (None, "en")]
        {
            let error = refusal(asked);
            assert_eq!((error.kind, error.condition), (ErrorType::Modify, StanzaCondition::NotAcceptable));
            assert_eq!(error.lang, expected, "{asked:?}");
        }
        assert!(refusal(None).text.unwrap().starts_with("This contact cannot decrypt"));
    }
}
