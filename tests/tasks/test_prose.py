import textwrap

import pytest

from subarch.tasks.prose import LONGEST, SHORTEST, docstrings, mask, snippets


def test_docstrings_of_the_public_parts_and_of_compiled_functions():
    source = textwrap.dedent('''
        """Module."""
        raise RuntimeError("not run")
        class Public:
            """Class."""
            def method(self):
                """Method."""
                def inner():
                    """Inner."""
            def _hidden(self):
                """Hidden."""
        def _private():
            """Private."""
        if True:
            async def late():
                """Late."""
        add_newdoc("somewhere", "name", """Compiled function.""")
        other("not documentation at all")
    ''')
    assert list(docstrings(source)) == ["Module.", "Class.", "Method.", "Late.", "Compiled function."]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Use numpy.linalg for it.", "Use name for it."),
        ("Like `pandas` and ``pd.concat(x, y)`` do.", "Like name and name do."),
        ("A :class:`~torch.nn.Module` holds it [1]_.", "A name holds it."),
        ("The DataFrame of scikit-learn's users.", "The name of name's users."),
        ("Set n_samples to 3, call fit(x, y=2).", "Set name to 3, call name."),
        ("See [the guide](somewhere) and **this**.", "See the guide and this."),
        ("A PyTorch tensor, a NumPy array.", "A name tensor, a name array."),
        ("Nothing to hide here, or in networks.", "Nothing to hide here, or in networks."),
    ],
)
def test_mask(text, masked):
    assert mask(text) == masked


PROSE = (
    "The first sentence says what this function does, in words that any reader of it will understand once. "
    "The second sentence adds the reason for which somebody would ever want to call a function like this one."
)


def test_only_prose_is_left():
    docstring = textwrap.dedent(f"""
        {PROSE}

        Parameters
        ----------
        x : array_like
            {PROSE.replace("first", "third")}
        y : int, optional

        Notes
        -----
        {PROSE.replace("first", "fourth")}

        .. note:: {PROSE}

        * {PROSE}

        >>> f(1)
        {PROSE}

        Examples
        --------
        {PROSE.replace("first", "fifth")}

                {PROSE}
    """).strip()
    expected = [PROSE, PROSE.replace("first", "third"), PROSE.replace("first", "fourth")]
    assert list(snippets(docstring)) == expected


def test_lengths_and_masked_share():
    assert not list(snippets("Too short to tell."))
    assert not list(snippets(" ".join(["Only a_b, c_d; e_f. and g_h: i_j so k_l for m_n to o_p or q_r."] * 3)))
    long = " ".join(f"Sentence number {word} of a text that goes on and on for a while." for word in "abcdefghij")
    pieces = list(snippets(long))
    assert len(pieces) >= 2
    assert all(SHORTEST <= len(piece) <= LONGEST for piece in pieces)


def test_warnings_of_foreign_sources_stay_silent_and_change_nothing():
    assert list(docstrings('"""Doc."""\npattern = "\\d"\n')) == ["Doc."]
