# SPDX-License-Identifier: Apache-2.0
"""What messages can be made of."""

from collections.abc import Mapping
from typing import Any, get_args

from hypothesis import strategies as st

from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG
from wsrc.protocol.fields import MAX_WHOLE

octets = st.binary(max_size=40).map(Octets)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
st.register_type_strategy(Octets, octets)
st.register_type_strategy(str, texts)
st.register_type_strategy(Mapping, st.dictionaries(texts, texts, max_size=3))
st.register_type_strategy(int, st.integers(-MAX_WHOLE, MAX_WHOLE))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))

messages: st.SearchStrategy[m.Message] = st.one_of(
    *(st.from_type(kind) for kind in get_args(m.AnyMessage))
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)

_fields = sorted({name for kind in BY_TAG.values() for name in kind.__struct_fields__})

near_messages: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda tag, fields: {"msg_type": tag} | fields,
    st.one_of(st.sampled_from(sorted(BY_TAG)), json_values),
    st.dictionaries(st.sampled_from(_fields), json_values, max_size=4),
)
"""JSON objects that look like messages and are seldom any."""
