"""MLflow: a run folder becomes a run with a child run for each candidate; nothing here knows how a search works."""

from adamms.tracking.listener import Tracking, dashboard_of, deliver_run, wake_all, where_it_is

__all__ = ["Tracking", "dashboard_of", "deliver_run", "wake_all", "where_it_is"]
