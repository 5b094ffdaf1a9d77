"""The pages: Jinja templates that escape whatever they are given; nothing in them is asked for over a network."""

from typing import Any

from adamms.reporting.palette import DARK, css_variable


def render(template: str, /, **values: Any) -> str:
    """A page from a template and values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("adamms.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(dark=DARK, css_variable=css_variable)
    environment.filters["trusted"] = Markup  # for what we drew ourselves
    return str(environment.get_template(template).render(**values))
