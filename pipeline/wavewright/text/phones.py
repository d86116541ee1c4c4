"""Classes of phones, in ARPAbet and IPA."""

from __future__ import annotations

import re

from wavewright.text.textgrid import SILENCES

SILENCE, OTHER = "silence", "other"
_MEMBERS = {
    "vowels": "AA AE AH AX AXR AO EH ER IH IX IY UH UW UX "
    "i y ɨ ʉ ɯ u ɪ ʏ ʊ e ø ɘ ɵ ɤ o ə ɚ ɝ ɛ œ ɜ ɞ ʌ ɔ æ ɐ a ɶ ɑ ɒ ᵻ",
    "diphthongs": "AW AY EY OW OY aɪ aʊ eɪ oʊ əʊ ɔɪ ɪə eə ʊə",
    "stops": "B D G K P T DX Q b d ɡ g k p t c ɟ q ɢ ʔ ɾ ʈ ɖ",
    "affricates": "CH JH tʃ dʒ ts dz tɕ dʑ ʧ ʤ",
    "fricatives": "DH F HH S SH TH V Z ZH HV ð f h s ʃ θ v z ʒ x ɣ ç ʝ χ ʁ ħ ʕ ɦ ɸ β ɕ ʑ ʂ ʐ",
    "nasals": "M N NG EM EN ENG m n ŋ ɲ ɳ ɴ ɱ",
    "liquids, glides": "L R W Y EL WH l r w j ɹ ɻ ʎ ʟ ɭ ɫ ʀ ɥ ʍ ʋ",
}
_CLASS_OF = {phone: name for name, phones in _MEMBERS.items() for phone in phones.split()}
_MARKS = re.compile(r"[ˈˌːˑ0-9\u0303\u0325\u0329\u032a\u032f\u0361ʰʲʷˠˤ˞]")


PHONE_CLASSES = (*_MEMBERS, OTHER, SILENCE)
"""All classes, speech first."""


def phone_class(label: str) -> str:
    """Class of an ARPAbet or IPA phone, with or without stress; `other` if unknown."""
    if label in SILENCES:
        return SILENCE
    plain = _MARKS.sub("", label)
    return _CLASS_OF.get(plain) or _CLASS_OF.get(plain.upper(), OTHER)
