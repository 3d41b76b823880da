"""The list of methods that a user sees is the list of methods there are."""

from core.search import methods, samplers


def test_that_every_method_is_listed_with_a_title_and_a_sentence():
    assert set(methods.METHODS) == {*samplers.OWN, *samplers.METHODS}
    assert all(key == method.key and method.title and len(method.summary) > 20
               for key, method in methods.METHODS.items())
